"""Who is let in, and how many at a time."""
