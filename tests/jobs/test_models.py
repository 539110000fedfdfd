"""Job model: status and progress."""

from __future__ import annotations

import pytest

from sarlens.jobs.models import Job, JobStatus, TileCounts


def test_three_statuses_are_terminal() -> None:
    """Successful, failed and dismissed jobs are complete."""
    terminal = {status for status in JobStatus if status.is_terminal}
    assert terminal == {JobStatus.SUCCESSFUL, JobStatus.FAILED, JobStatus.DISMISSED}


@pytest.mark.parametrize(
    ("status", "tiles", "counts", "progress"),
    [
        (JobStatus.ACCEPTED, None, TileCounts(), 0),
        (JobStatus.RUNNING, 0, TileCounts(), 0),
        (JobStatus.RUNNING, 3, TileCounts(answered=1), 33),
        (JobStatus.RUNNING, 6, TileCounts(answered=1, blank=2, failed=1), 66),
        (JobStatus.RUNNING, 2, TileCounts(answered=2), 99),
        (JobStatus.FAILED, 2, TileCounts(failed=2), 99),
        (JobStatus.SUCCESSFUL, 2, TileCounts(), 100),
    ],
)
def test_progress_is_a_percentage(status: JobStatus, tiles: int | None, counts: TileCounts, progress: int) -> None:
    """The progress counts all finished tiles, rounds down, and is 100 only for a successful job."""
    assert Job("survey", "", "{}", status=status, tiles=tiles, counts=counts).progress == progress


def test_ids_are_random() -> None:
    """Each job has an id of 32 hexadecimal digits."""
    ids = {Job("survey", "", "{}").id for _ in range(100)}
    assert len(ids) == 100
    assert all(len(job_id) == 32 and int(job_id, 16) >= 0 for job_id in ids)
