"""One file per protocol that Sarlens answers in."""
