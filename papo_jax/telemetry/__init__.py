"""Telemetry: writers of a run's files, its provenance, and the progress on the terminal."""
