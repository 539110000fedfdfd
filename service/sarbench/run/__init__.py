"""Runs: send every text of a data set once to an OpenAI-compatible endpoint."""
