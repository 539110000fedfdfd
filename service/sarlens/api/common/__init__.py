"""Parts that all protocols share: request context, authorization, errors, telemetry and usage."""
