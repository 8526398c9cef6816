"""Sampling from a policy: prompts, the one definition of its distribution, jitted generation."""
