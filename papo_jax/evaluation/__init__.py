"""Evaluation on a fixed set of problems: figures with intervals, and what is stored of them."""
