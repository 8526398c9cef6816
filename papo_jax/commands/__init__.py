"""The commands of run.py: train, evaluate, export."""
