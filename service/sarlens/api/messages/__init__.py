"""The Anthropic Messages API over chat completions: requests, messages and events."""
