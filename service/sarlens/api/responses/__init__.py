"""The OpenAI Responses API over chat completions: requests, responses and events, without stored responses."""
