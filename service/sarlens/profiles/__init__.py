"""Profiles of models: what each model sees, how it is asked, and how its answers are read."""
