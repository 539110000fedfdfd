"""Image ids: equal requests have equal ids in every process and on every machine."""

from __future__ import annotations

import hashlib
import hmac
import json
from functools import lru_cache

from sarlens.types.render_params import DEFAULT_RENDER, RenderParams

RENDER_REVISION = 4
"""Increase this number with every change of rendered pixels, so that no cache returns an outdated image."""


def image_id(version: str, render: RenderParams, model_size: int) -> str:
    """The id of a rendered image: 64 hexadecimal digits.

    It is the SHA-256 of the canonical JSON (sorted keys, no spaces) of ``[REVISION, version, parameters]``. The
    parameters are those of ``render`` with defaults filled in, and with the preset replaced by its filter.

    Args:
        version: version of the source image.
        render: render parameters with a window in pixels.
        model_size: longest side in pixels if ``render`` has no size.
    """
    params = _default_json(model_size) if render is DEFAULT_RENDER else _canonical_json(render, model_size)
    document = f"[{RENDER_REVISION},{json.dumps(version)},{params}]"
    return hashlib.sha256(document.encode()).hexdigest()


@lru_cache(maxsize=64)
def _default_json(model_size: int) -> str:
    """The JSON of the default parameters, which most requests have."""
    return _canonical_json(DEFAULT_RENDER, model_size)


def _canonical_json(render: RenderParams, model_size: int) -> str:
    return json.dumps(render.canonical_params(model_size), sort_keys=True, separators=(",", ":"), allow_nan=False)


def worker_image_id(secret: bytes, image_id: str, tenant: str) -> str:
    """The id under which workers cache an image: a keyed hash (HMAC-SHA-256) of 64 hexadecimal digits.

    A worker returns an answer about an image to anyone that knows this id, so only the gateway can compute the id.

    Args:
        secret: secret of the deployment, the same in all of its processes.
        image_id: id of the image, as callers see it.
        tenant: API key whose image it is, so that a cache hit reveals no other key's requests; empty if the image is
            public.
    """
    return hmac.digest(secret, f"{tenant}\n{image_id}".encode(), "sha256").hex()
