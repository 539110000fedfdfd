"""Servers, sample data and clients for tests: gateways, workers, S3, Prometheus, scenes and products."""
