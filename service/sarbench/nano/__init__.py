"""sarlens-nano, the small bundled model: configuration, tokenizer, and checkpoints."""
