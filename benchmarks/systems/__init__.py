"""One file for each system: the phases of an iteration, as functions that return when done."""
