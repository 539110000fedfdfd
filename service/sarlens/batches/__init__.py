"""Files, and batches: jobs that run the requests in the lines of a file."""
