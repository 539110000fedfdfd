"""Errors that the client raises."""

from __future__ import annotations


class GatewayError(Exception):
    """A request failed; the message is a sentence, usually the gateway's own.

    ``status`` is the HTTP status and ``code`` the error code of the response, both None without a response.
    """

    def __init__(self, message: str, *, status: int | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class GatewayUnreachable(GatewayError):
    """No gateway answers at the base URL."""


class LocalImageError(GatewayError):
    """A local image can't be read or sent."""
