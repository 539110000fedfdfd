"""Detection of bright targets by physics alone, without a model."""
