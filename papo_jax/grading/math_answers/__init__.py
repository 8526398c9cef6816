"""Grader of mathematical answers: extraction, canonical LaTeX, parsing and comparison."""
