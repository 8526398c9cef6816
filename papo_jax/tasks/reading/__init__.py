"""Reading of problems out of files."""
