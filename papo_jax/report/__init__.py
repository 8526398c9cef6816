"""Report of a run: reads the files of its work directory and writes one HTML page."""
