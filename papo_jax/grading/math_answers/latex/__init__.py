"""LaTeX of answers in one canonical spelling."""
