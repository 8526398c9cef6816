"""Configs of whole runs, each a runbook: its command, its settings, and what came of it."""
