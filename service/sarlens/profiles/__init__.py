"""Profiles of models: pictures and prompts for each, and the reading of its answers."""
