"""A stack on one machine: S3 server, vLLM worker on the CPU and gateway."""
