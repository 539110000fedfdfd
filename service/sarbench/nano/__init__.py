"""sarlens-nano: the small model that Sarlens ships, its shape, its tokenizer and its checkpoints."""
