"""Weights on tokens."""
