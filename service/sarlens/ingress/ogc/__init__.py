"""OGC API: Processes 1.0 and Features 1.0 over the jobs and answers of surveys."""
