"""Sampling from a policy: the one definition of its distribution, and jitted generation."""
