"""Which worker a request goes to: pure, synchronous, without I/O."""
