"""Training sarlens-nano on simulated pictures."""
