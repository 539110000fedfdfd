"""Radar images: where they lie, what is in them, how a model sees them."""
