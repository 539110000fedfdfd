"""Rendering: speckle filters, stretch and PNG encoding."""
