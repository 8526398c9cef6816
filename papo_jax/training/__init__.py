"""Training on the host: set-up of a run, its step, checkpoints and the work directory."""
