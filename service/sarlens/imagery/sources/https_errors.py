"""Errors of web servers and of connections to them, as the gateway's own."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import ceil

import aiohttp

from sarlens.errors import AccessDenied, ImageNotFound, SarlensError, SourceThrottled, SourceUnavailable, Timeout

_BY_STATUS: dict[int, tuple[type[SarlensError], str]] = {
    401: (AccessDenied, "its host requires authentication"),
    403: (AccessDenied, "its host denies access"),
    404: (ImageNotFound, "it doesn't exist"),
    410: (ImageNotFound, "it was deleted"),
    429: (SourceThrottled, "its host limits the rate of requests; retry later"),
    503: (SourceThrottled, "its host is overloaded; retry later"),
    504: (Timeout, "its host timed out"),
}
_MAX_RETRY_AFTER_S = 600


def status_error(response: aiohttp.ClientResponse, name: str) -> SarlensError:
    """Return the error for the status of a response."""
    default = (SourceUnavailable, f"its host responded with status {response.status}")
    error_cls, reason = _BY_STATUS.get(response.status, default)
    return error_cls(f"{name} can't be read: {reason}.", retry_after=_retry_after(response, error_cls))


def _retry_after(response: aiohttp.ClientResponse, error_cls: type[SarlensError]) -> int | None:
    """Seconds of a throttling host's Retry-After header, which is a number or a date (RFC 9110, 10.2.3)."""
    text = response.headers.get("Retry-After", "").strip()
    if error_cls is not SourceThrottled or not text:
        return None
    if text.isascii() and text.isdigit():
        return min(max(1, int(text[:6])), _MAX_RETRY_AFTER_S)
    try:
        wait_s = (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError):
        return None
    return min(max(1, ceil(wait_s)), _MAX_RETRY_AFTER_S)


def map_client_error(error: aiohttp.ClientError, name: str) -> SarlensError:
    """Return the error for a connection that failed."""
    match error:
        case TimeoutError():
            return Timeout(f"{name} can't be read: its host didn't respond in time.")
        case aiohttp.ClientSSLError():
            return SourceUnavailable(f"{name} can't be read: the certificate of its host isn't trusted.")
        case aiohttp.ClientConnectorDNSError():
            return SourceUnavailable(f"{name} can't be read: the name of its host can't be resolved.")
        case _:
            return SourceUnavailable(f"{name} can't be read: its host is unreachable or closed the connection.")
