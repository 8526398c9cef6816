"""The sources of problems: datasets and generators, a file each."""
