"""OGC API - Processes and OGC API - Features."""
