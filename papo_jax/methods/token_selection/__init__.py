"""Losses on some tokens alone, or on all but some."""
