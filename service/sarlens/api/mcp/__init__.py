"""The Model Context Protocol: tools for agents over the services of REST."""
