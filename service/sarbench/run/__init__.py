"""Asking an OpenAI-compatible endpoint every question of a data set, once."""
