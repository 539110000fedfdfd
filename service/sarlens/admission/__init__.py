"""Admission: API keys, rate limits, the concurrency limit and the memory for request bodies."""
