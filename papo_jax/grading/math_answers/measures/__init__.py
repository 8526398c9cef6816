"""Quantities: units, money and clock times, and what they have in common."""
