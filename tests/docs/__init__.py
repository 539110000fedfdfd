"""The documentation's code blocks, links and site."""
