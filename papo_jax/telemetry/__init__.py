"""Writers of a run's files."""
