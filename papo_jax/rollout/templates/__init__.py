"""Chat templates: programs of a model's files, run in a process of their own that can be killed."""
