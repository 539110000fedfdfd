"""Limits of one of several processes."""

from __future__ import annotations

import pytest

from sarlens.server.process_limits import divide_limits
from sarlens.settings import AdmissionSettings, LimitSettings, Settings


@pytest.mark.parametrize("processes", [1, 3, 4])
def test_the_processes_keep_the_limits_together(processes: int) -> None:
    """The sum over all processes is at most the limit, and at most one less for each process; others stay."""
    settings = Settings(admission=AdmissionSettings(max_requests_per_worker=256, max_queued=10, queue_timeout_s=7))
    divided = divide_limits(settings, processes)
    for name in ("max_requests_per_worker", "max_pixels", "max_queued", "max_body_bytes"):
        limit = getattr(settings.admission, name)
        assert limit - processes < processes * getattr(divided.admission, name) <= limit, name
    assert divided.admission.queue_timeout_s == 7
    assert divided.limit == settings.limit


def test_each_process_can_hold_a_body_and_run_a_request() -> None:
    """Of 512 bytes for bodies of up to 100, each of sixteen processes has 100; one request a worker stays one."""
    settings = Settings(
        admission=AdmissionSettings(max_requests_per_worker=1, max_body_bytes=512),
        limit=LimitSettings(max_body_bytes=100),
    )
    divided = divide_limits(settings, 16).admission
    assert (divided.max_requests_per_worker, divided.max_body_bytes) == (1, 100)
