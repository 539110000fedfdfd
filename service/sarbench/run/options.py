"""Values of command-line options: JSON objects, and URLs of endpoints."""

from __future__ import annotations

from typing import Any

import orjson
from yarl import URL

from sarbench.errors import RunError


def redacted_url(option: str, base_url: str, api_key: str | None) -> str:
    """Return a URL without credentials, for files.

    Raises:
        RunError: it isn't an HTTP URL, or has credentials in addition to an API key.
    """
    try:
        url = URL(base_url)
    except ValueError as error:
        raise RunError(f"{option} is not a URL: {error}") from error
    if url.scheme not in {"http", "https"} or not url.host:
        raise RunError(f"{option} must start with http:// or https://, such as http://localhost:8080/v1")
    if url.user and api_key:
        raise RunError(f"{option} contains credentials and an API key is set: use only one of them")
    return str(url.with_user(None))


def parse_json_object(option: str, text: str) -> dict[str, Any]:
    """Parse the JSON object of an option.

    Raises:
        RunError: the text isn't one.
    """
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise RunError(f"{option} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise RunError(f"{option} must be a JSON object")
    return value
