"""Training: the state, the pure step, checkpoints, and the host loop that owns time and files."""
