"""Checkpoint formats: reading and writing configs, weights and tokenizers."""
