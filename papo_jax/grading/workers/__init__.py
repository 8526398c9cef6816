"""Grading processes that can be killed."""
