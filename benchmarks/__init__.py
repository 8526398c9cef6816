"""Benchmarks: what an iteration costs, here and in other systems."""
