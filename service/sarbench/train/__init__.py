"""Training of sarlens-nano on simulated images."""
