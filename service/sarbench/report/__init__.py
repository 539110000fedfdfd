"""Runs and their scores as one HTML page that needs nothing beside it."""
