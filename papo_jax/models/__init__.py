"""Policies: a decoder, its parameters and its tokenizer, from any place that they are kept in."""

from papo_jax.models.formats.huggingface_export import export
from papo_jax.models.policy import Params, Policy, describe, initialize, load, logits

__all__ = ["Params", "Policy", "describe", "export", "initialize", "load", "logits"]
