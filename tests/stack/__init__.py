"""The parts that tests put a gateway between: workers, an S3 server, and the gateway itself."""
