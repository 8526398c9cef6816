"""GGUF files: their container, the policy in one, its tokenizer."""
