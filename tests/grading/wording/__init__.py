"""Tests of the wording of answers."""
