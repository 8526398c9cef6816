"""Data sets and generators of problems, a file each."""
