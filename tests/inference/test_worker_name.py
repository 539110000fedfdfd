"""Names of workers in route receipts."""

from __future__ import annotations

import hashlib
import hmac

from sarlens.inference.worker_name import worker_name


def test_names_are_opaque_unless_addresses_are_shown() -> None:
    """With a secret, a name is the start of the keyed hash of the URL; without one, it is the address."""
    expected = hmac.new(b"secret", b"worker http://gpu-1:8000", hashlib.sha256).hexdigest()[:8]
    assert worker_name(b"secret", "http://gpu-1:8000") == expected
    assert len({worker_name(secret, f"http://gpu-{n}:8000") for secret in (b"a", b"b") for n in range(10)}) == 20
    assert worker_name(None, "http://gpu-1:8000") == "gpu-1:8000"
    assert worker_name(None, "triton+grpcs://gpu-3:8001") == "gpu-3:8001"
