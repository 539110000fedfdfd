"""Limits of one of several processes, so that all of them together keep the limits of the settings."""

from __future__ import annotations

from sarlens.settings import Settings


def divide_limits(settings: Settings, processes: int) -> Settings:
    """Return the settings of one process.

    Admission limits are divided, rounded down and at least 1. The memory for bodies holds at least one body.
    """
    admission = settings.admission
    divided = admission.model_copy(
        update={
            "max_requests_per_worker": max(1, admission.max_requests_per_worker // processes),
            "max_pixels": max(1, admission.max_pixels // processes),
            "max_queued": admission.max_queued // processes,
            "max_body_bytes": min(
                admission.max_body_bytes, max(admission.max_body_bytes // processes, settings.limit.max_body_bytes)
            ),
        }
    )
    return settings.model_copy(update={"admission": divided})
