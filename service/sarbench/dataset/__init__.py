"""Reading SARLANG-1M as it is released: which files there are, their rows, their images."""
