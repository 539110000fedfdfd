"""Numbers and booleans of a body as vLLM reads them, which accepts texts such as ``"5"`` and ``"true"``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

_BOOLEAN = TypeAdapter(bool)
_INTEGER = TypeAdapter(int)


def read_boolean(value: object) -> bool | None:
    """Return a boolean, or None without a value, or for one that the worker will reject."""
    if value is None or type(value) is bool:
        return value
    try:
        return _BOOLEAN.validate_python(value)
    except ValidationError:
        return None


def read_integer(value: object) -> int | None:
    """Return an integer, or None without a value, or for one that the worker will reject."""
    if value is None or type(value) is int:
        return value
    try:
        return _INTEGER.validate_python(value)
    except ValidationError:
        return None


def requests_usage(document: Mapping[str, Any]) -> bool | None:
    """Return whether a body requests the usage of its stream, or None for options that the worker will reject."""
    options = document.get("stream_options")
    if not isinstance(options, dict):
        return False if options is None else None
    include_usage = options.get("include_usage")
    return False if include_usage is None else read_boolean(include_usage)
