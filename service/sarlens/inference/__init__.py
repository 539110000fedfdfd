"""The inference pipeline: from a chat request to the response of a worker."""
