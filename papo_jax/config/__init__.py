"""Settings, their checks, and their command line."""
