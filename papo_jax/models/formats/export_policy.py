"""Export of policies as Hugging Face directories, which transformers loads."""

import dataclasses
import functools
import json
import pathlib
import shutil
from collections import Counter

from papo_jax.errors import InputError
from papo_jax.models import lora
from papo_jax.models.formats import hf_directory, safetensors_read
from papo_jax.models.formats.hf_config import make_hf_config, parse_hf_config
from papo_jax.models.policy import Policy


def export(policy: Policy, directory: str | pathlib.Path, *, dtype: str | None = None) -> None:
    """Writes a policy as a Hugging Face directory, its adapters merged into the weights.

    Tokenizer, chat template, generation config and every field of `config.json` are those of the
    directory that the policy was loaded from, if it was.

    Args:
      policy: what to write.
      directory: made if it does not exist; weights of an earlier export in it are replaced.
      dtype: "float32", "bfloat16" or "float16", of all tensors; None for the dtype that each has in
        the files that the policy was loaded from, or else for that of its parameter.

    Raises:
      InputError: if the policy was loaded from `directory`, a dtype is none of the three, or a
        value does not fit it.
    """
    directory, policy = pathlib.Path(directory), lora.merge_adapters(policy)
    source = policy.source
    if source and directory.exists() and directory.samefile(source.directory):
        raise InputError(
            f"{directory} holds the model that this policy came from; export to another directory"
        )

    # The fields must give the architecture back that is written.
    fields = dict(source.fields) if source else make_hf_config(policy.config)
    written = dataclasses.replace(policy.config, dtype="float32", remat="none")
    if parse_hf_config(fields) != written:
        raise ValueError(
            f"Hugging Face's {policy.config.architecture} cannot express this mix of options:"
            f" {policy.config}"
        )

    # Without a dtype each tensor keeps its own; config.json names the most common one.
    dtypes = safetensors_read.read_dtypes(source.directory) if source and dtype is None else {}
    if dtypes:
        main_dtype = Counter(dtypes.values()).most_common(1)[0][0]
    else:
        main_dtype = str(policy.params["embedding"].dtype)
    fields.pop("torch_dtype", None)
    fields["dtype"] = dtype or main_dtype

    hf_directory.write_directory(
        directory,
        fields,
        policy.params,
        dtype=dtype,
        dtypes=dtypes,
        write_companions=functools.partial(_write_companions, policy),
    )


def _write_companions(policy: Policy, directory: pathlib.Path) -> None:
    """Writes tokenizer, chat template and generation config.

    They are copies of the files that the policy was loaded with, or else made from the policy.
    """
    if policy.source:
        for name in hf_directory.COMPANIONS:
            file = policy.source.directory / name
            if file.is_file():
                shutil.copyfile(file, directory / file.name)
    else:
        policy.tokenizer.save_pretrained(directory)

    generation_config = directory / "generation_config.json"
    if not generation_config.exists():
        fields = {"eos_token_id": list(policy.stop_tokens)}
        generation_config.write_text(json.dumps(fields, indent=2) + "\n")
