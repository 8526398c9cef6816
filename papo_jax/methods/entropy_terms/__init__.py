"""Entropy in the loss or in the advantage."""
