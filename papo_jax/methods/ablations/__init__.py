"""One branch of polarity alone, and its random controls."""
