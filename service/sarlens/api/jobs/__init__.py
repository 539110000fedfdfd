"""Jobs over HTTP: submission, quota account and responses."""
