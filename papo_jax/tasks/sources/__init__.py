"""The sources of problems: data sets and generators, a file each."""
