"""A pooled HTTP/1.1 client for workers: one exchange after another on each connection, without a task of its own."""
