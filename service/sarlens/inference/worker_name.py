"""The name of a worker in route receipts."""

from __future__ import annotations

import hmac


def worker_name(secret: bytes | None, url: str) -> str:
    """Return the name of a worker: 8 hexadecimal digits of a keyed hash of its URL, or without a secret its address.

    With the same secret, the name is the same in all gateways.
    """
    if secret is None:
        return url.partition("://")[2]
    return hmac.digest(secret, f"worker {url}".encode(), "sha256").hex()[:8]
