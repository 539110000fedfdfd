"""The SARLANG-1M benchmark as a package: read, simulate, train, fine-tune, run, score, and report."""
