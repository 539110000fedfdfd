"""Base URLs of workers."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from yarl import URL

TRITON_SCHEME, TRITON_TLS_SCHEME = TRITON_SCHEMES = ("triton", "triton+grpcs")


def normalize_base_url(url: str) -> str:
    """Return a worker's base URL without a trailing slash and without ``/v1``.

    Raises:
        ValueError: the URL isn't a base URL.
    """
    parts = urlsplit(url)
    if not url.isprintable():
        raise ValueError("a base URL must not contain control characters")
    if "@" in parts.netloc:
        raise ValueError("a base URL must not contain credentials, since logs and metrics show it")
    if parts.scheme in TRITON_SCHEMES and parts.hostname and parts.port and not (parts.path.strip("/") or parts.query):
        return url.rstrip("/")
    has_host = (parts.hostname or "").strip(".")
    if parts.scheme not in {"http", "https"} or not has_host or parts.query or parts.fragment:
        raise ValueError(f"{redacted_url(url)!r} is not a base URL such as http://gpu-1:8000")
    _ = parts.port, URL(url)  # each raises ValueError for a host or a port that can't be one
    return url.rstrip("/").removesuffix("/v1")


def redacted_url(address: str) -> str:
    """Return a URL without credentials and query, safe to show."""
    return re.sub(r"//[^/]*@", "//", address.partition("?")[0])


def http_url(address: str, port: int) -> str:
    """Return the base URL of an IP address."""
    return f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"
