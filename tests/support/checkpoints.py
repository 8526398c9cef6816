"""Random parameters of every kind, and a checkpoint's content to the bit, for tests of formats."""

import jax
import jax.numpy as jnp
import numpy as np
from safetensors.numpy import load_file

from papo_jax.models.model_config import ModelConfig
from papo_jax.models.policy import make_abstract_model

# Every kind of parameter there is; 97 rows of the embedding leave a remainder in whatever pieces
# they are read.
CONFIG = ModelConfig(
    "qwen3",
    vocabulary_size=97,
    width=16,
    layers=3,
    heads=8,
    kv_heads=2,
    head_dim=6,
    mlp_width=32,
    qk_norm=True,
    qkv_bias=True,
    output_bias=True,
    mlp_bias=True,
)


def make_params(dtype="float32", config=CONFIG):
    rng = np.random.default_rng(0)
    shapes = make_abstract_model(config)[1]
    return jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(jnp.dtype(dtype)), shapes)


def read_contents(directory):
    """Returns every tensor's name -> (dtype, bytes), from all files, read by the library."""
    found = {}
    for file in directory.glob("*.safetensors"):
        found |= {
            name: (value.dtype.name, value.tobytes()) for name, value in load_file(file).items()
        }
    return found
