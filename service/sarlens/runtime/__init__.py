"""The process itself: child processes and malloc."""
