"""Clients of workers: vLLM over HTTP and Triton over gRPC."""
