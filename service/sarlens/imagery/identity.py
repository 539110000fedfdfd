"""The name of a picture: equal asks have equal names, in every process and on every machine."""

from __future__ import annotations

import hashlib
import json

from sarlens.request import Render

REVISION = 3
"""Rises whenever the code draws another picture for the same ask, so that no cache shows the old one."""


def image_id(version: str, render: Render, size: int) -> str:
    """The content id of a picture: 64 hexadecimal digits.

    It is the SHA-256 of the canonical JSON (sorted keys, no spaces) of ``[REVISION, version, parameters]``, where
    ``version`` identifies the bytes of the source and the parameters are those of ``render`` with defaults filled in:
    the preset is replaced by the filter that it means, and ``size``, in pixels, stands in where ``render`` names none.
    """
    ask = json.dumps(
        [REVISION, version, render.parameters(size)], sort_keys=True, separators=(",", ":"), allow_nan=False
    )
    return hashlib.sha256(ask.encode()).hexdigest()


def salted(name: str, salt: str) -> str:
    """The id of a picture among those of one tenant, so that nobody learns from a cache what others have asked."""
    return hashlib.sha256(f"{salt}\n{name}".encode()).hexdigest() if salt else name
