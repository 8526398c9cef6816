"""A policy out again, as the Hugging Face directory that transformers loads."""

import dataclasses
import functools
import json
import pathlib
import shutil
from collections import Counter

from papo_jax.errors import InputError
from papo_jax.models import lora
from papo_jax.models.formats import huggingface, safetensors_read
from papo_jax.models.formats.hf_config import from_huggingface, to_huggingface
from papo_jax.models.policy import Policy


def export(policy: Policy, directory: str | pathlib.Path, *, dtype: str | None = None) -> None:
    """Writes a policy as a Hugging Face directory, its adapters merged into the weights.

    Tokenizer, chat template, generation config and every field of `config.json` are those of the
    directory that the policy came from, where it came from one.

    Args:
      policy: what to write.
      directory: made if it does not exist; weights of an earlier export in it are replaced.
      dtype: "float32", "bfloat16" or "float16", of all tensors; None for what each was stored in
        where the policy came from, or else for what it is held in.

    Raises:
      InputError: if the policy came from `directory`, a dtype is none of the three, or a value does
        not fit it.
    """
    directory, policy = pathlib.Path(directory), lora.merge(policy)
    origin = policy.origin
    if origin and directory.exists() and directory.samefile(origin.directory):
        raise InputError(
            f"{directory} holds the model that this policy came from; export to another directory"
        )
    fields = dict(origin.fields) if origin else to_huggingface(policy.config)
    if from_huggingface(fields) != dataclasses.replace(
        policy.config, dtype="float32", remat="none"
    ):
        raise ValueError(
            f"Hugging Face's {policy.config.architecture} cannot express this mix of options: {policy.config}"
        )
    dtypes = safetensors_read.stored_dtypes(origin.directory) if origin and dtype is None else {}
    fields.pop("torch_dtype", None)
    held = (
        Counter(dtypes.values()).most_common(1)[0][0]
        if dtypes
        else str(policy.params["embedding"].dtype)
    )
    fields["dtype"] = dtype or held
    huggingface.write(
        directory,
        fields,
        policy.params,
        dtype=dtype,
        dtypes=dtypes,
        companions=functools.partial(_write_companions, policy),
    )


def _write_companions(policy: Policy, folder: pathlib.Path) -> None:
    """Tokenizer, chat template and generation config: those of the origin byte for byte, or else
    the policy's own."""
    if policy.origin:
        for file in filter(
            pathlib.Path.is_file,
            (policy.origin.directory / name for name in huggingface.COMPANIONS),
        ):
            shutil.copyfile(file, folder / file.name)
    else:
        policy.tokenizer.save_pretrained(folder)
    if not (folder / "generation_config.json").exists():
        generation = {"eos_token_id": list(policy.stop_tokens)}
        (folder / "generation_config.json").write_text(json.dumps(generation, indent=2) + "\n")
