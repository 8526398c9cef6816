"""Wording of answers: characters, LaTeX's decoration, numbers in digits and in words, choices."""
