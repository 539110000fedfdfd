"""Routing policies: which worker gets a request."""
