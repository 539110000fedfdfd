"""The SARLANG-1M benchmark as software: simulate, train, serve, score."""
