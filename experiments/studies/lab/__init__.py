"""The apparatus that the studies share."""
