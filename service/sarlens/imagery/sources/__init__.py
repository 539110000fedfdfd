"""Object sources: S3, HTTPS and data URLs."""
