"""The OpenAI chat body: parsing, render parameters, and the body for a worker."""
