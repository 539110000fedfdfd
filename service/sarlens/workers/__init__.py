"""The worker pool: discovery, health, circuit breakers, known images and load."""
