"""Service discovery: workers by base URL, from a file, from a DNS name, or from a Kubernetes service."""
