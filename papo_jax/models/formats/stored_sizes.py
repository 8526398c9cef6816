"""Sizes of a config held against the tensors that are there, before anything of that size is made.

A config is a page of numbers, and one of them may ask for more memory than any machine has.
"""

import re
from collections.abc import Mapping
from typing import Any

from papo_jax.errors import InputError
from papo_jax.models.model_config import ModelConfig

_LAYER = re.compile(r"model\.layers\.(\d{1,9})\.")
_FIRST_BLOCK = "model.layers.0."

Shapes = Mapping[str, tuple[int, ...]]  # under Hugging Face's names, [out, in] or [out]


def check_layer_count(fields: Mapping[str, Any], shapes: Shapes, *, label: str) -> None:
    """Raises `InputError` if a config has more layers than the weights.

    Args:
      fields: of `config.json`, not checked yet.
      shapes: of the tensors.
      label: of the weights, for the message.
    """
    layers = fields.get("num_hidden_layers")
    stored = {found[1] for name in shapes if (found := _LAYER.match(name))}
    if type(layers) is int and layers > len(stored):
        first = next(n for n in range(len(stored) + 1) if str(n) not in stored)
        raise InputError(
            f"{label}: num_hidden_layers is {layers!r:.30}, and the weights have {len(stored)}"
            f" layers; model.layers.{first} is missing"
        )


def check_widths(config: ModelConfig, shapes: Shapes, *, label: str) -> None:
    """Raises `InputError` if a config's sizes are not those of the weights.

    Args:
      config: of the model.
      shapes: of the tensors.
      label: of the weights, for the message.
    """
    rows = {
        "model.embed_tokens.weight": config.vocabulary_size,
        f"{_FIRST_BLOCK}self_attn.q_proj.weight": config.heads * config.head_dim,
        f"{_FIRST_BLOCK}self_attn.k_proj.weight": config.kv_heads * config.head_dim,
        f"{_FIRST_BLOCK}mlp.up_proj.weight": config.mlp_width,
    }
    for name, size in rows.items():
        if name not in shapes:
            raise InputError(f"{label}: the tensor {name} is missing")
        if shapes[name] != (size, config.width):
            raise InputError(
                f"{label}: the tensor {name} has shape {shapes[name]}, the config asks for"
                f" {(size, config.width)}"
            )
