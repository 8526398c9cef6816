"""Policies: a decoder, its parameters and its tokenizer, loaded from any supported place.

The modules of this package know nothing of files. `papo_jax.models.formats` builds on them and
reads and writes checkpoints; this file alone imports from both.
"""

from papo_jax.models.formats.export_policy import export
from papo_jax.models.formats.load_policy import describe, load
from papo_jax.models.policy import Params, Policy, initialize, logits

__all__ = ["Params", "Policy", "describe", "export", "initialize", "load", "logits"]
