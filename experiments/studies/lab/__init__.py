"""Training, probing, statistics and output that the studies share."""
