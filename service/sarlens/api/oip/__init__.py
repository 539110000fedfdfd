"""The Open Inference Protocol over REST, and its data plane."""
