"""Support for JSON documents that earlier versions of sarbench wrote under other keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def with_current_keys(document: Mapping[str, Any], current_names: Mapping[str, str]) -> dict[str, Any]:
    """Return a copy of ``document`` with each earlier key replaced by its entry in ``current_names``."""
    return {current_names.get(key, key): value for key, value in document.items()}
