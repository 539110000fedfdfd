"""Log lines about rejected requests."""

from __future__ import annotations

import structlog.testing

from sarlens.errors import ModelNotFound, Unauthenticated
from sarlens.observability.refusal_log import RefusalLog


def test_a_flood_of_rejected_requests_has_few_lines() -> None:
    """Of 1,000 requests at once, 20 have a line, and five a second later; the first of those counts the others."""
    now = [0.0]
    log = RefusalLog(lambda: now[0])
    with structlog.testing.capture_logs() as first:
        for _ in range(1000):
            log.write(Unauthenticated, status=401)
    now[0] = 1.0
    with structlog.testing.capture_logs() as later:
        for _ in range(10):
            log.write(ModelNotFound, status=404, key="")
    assert (
        first
        == [
            {
                "event": "request rejected",
                "log_level": "info",
                "reason": "The API key is missing or unknown.",
                "status": 401,
            }
        ]
        * 20
    )
    assert [line.get("suppressed") for line in later] == [980, None, None, None, None]
    assert "key" not in later[0]
