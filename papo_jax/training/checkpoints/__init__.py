"""Checkpoints: the folder, its arrays, their checksums, and the scores that keep the best."""
