"""Retries: classes of errors, bounds of the pauses, and the timeout."""

from __future__ import annotations

import asyncio

import pytest

from sarlens.errors import (
    BadRequest,
    ImageNotFound,
    NoWorkerAvailable,
    QuotaExceeded,
    SarlensError,
    StoreCredentials,
    WorkerUnreachable,
)
from sarlens.surveys import retry
from sarlens.surveys.retry import PERMANENT_ERRORS, TRANSIENT_ERRORS, Backoff, retry_transient
from support.errors import tree

TRANSIENT = {
    "model_not_found",
    "no_worker",
    "overloaded",
    "worker_failed",
    "worker_unreachable",
    "worker_lost",
    "workers_full",
    "source_unavailable",
    "source_throttled",
    "store_credentials",
    "timeout",
    "quota_exceeded",
    "jobs_unavailable",
    "files_unavailable",
}
PERMANENT = {"source_changed", "image_not_found", "access_denied", "invalid_api_key"}


class Clock:
    """A clock that sleeps move forward."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, factor: float = 1.0) -> None:
        self.now = 1000.0
        self.pauses: list[float] = []
        self.ranges: set[tuple[float, float]] = set()
        self._factor = factor
        monkeypatch.setattr(retry, "monotonic", lambda: self.now)
        monkeypatch.setattr("sarlens.surveys.retry.random.uniform", self._uniform)
        monkeypatch.setattr("sarlens.surveys.retry.asyncio.sleep", self._sleep)

    def _uniform(self, low: float, high: float) -> float:
        self.ranges.add((low, high))
        return self._factor

    async def _sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


def test_every_error_has_one_class() -> None:
    """Fourteen errors are transient, four permanent, and none is both."""
    assert {error.code for error in tree() if issubclass(error, TRANSIENT_ERRORS)} == TRANSIENT
    assert {error.code for error in tree() if issubclass(error, PERMANENT_ERRORS)} == PERMANENT


@pytest.mark.parametrize("factor", [0.5, 1.0])
def test_pauses_double_to_ten_seconds(monkeypatch: pytest.MonkeyPatch, factor: float) -> None:
    """Pauses are 0.5, 1, 2, 4, 8, 10 and 10 seconds, times a random factor between 0.5 and 1."""
    clock, backoff = Clock(monkeypatch, factor), Backoff(60.0)
    pauses = [backoff.next_pause_s(NoWorkerAvailable("none")) for _ in range(7)]
    assert pauses == [factor * pause for pause in (0.5, 1, 2, 4, 8, 10, 10)]
    assert clock.ranges == {(0.5, 1)}


def test_retry_after_replaces_the_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error with retry_after sets its pause, and the next pause is doubled all the same."""
    Clock(monkeypatch)
    backoff = Backoff(60.0)
    errors = [QuotaExceeded("later", retry_after=7), QuotaExceeded("later"), QuotaExceeded("later", retry_after=1)]
    assert [backoff.next_pause_s(error) for error in errors] == [7, 1, 1]


def test_the_timeout_raises_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the timeout there is one more pause; after it, the error is raised."""
    clock, error = Clock(monkeypatch), NoWorkerAvailable("none")
    backoff = Backoff(5.0)
    clock.now += 5.0
    assert backoff.next_pause_s(error) == 0.5
    clock.now += 0.01
    with pytest.raises(NoWorkerAvailable) as raised:
        backoff.next_pause_s(error)
    assert raised.value is error


class Work:
    """Raises errors in turn, then returns 7."""

    def __init__(self, *errors: SarlensError) -> None:
        self.errors = list(errors)
        self.attempts = 0

    async def __call__(self) -> int:
        """Run one attempt."""
        self.attempts += 1
        if self.errors:
            raise self.errors.pop(0)
        return 7


async def test_transient_errors_are_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work that fails twice with transient errors is called three times, with pauses of 0.5 and 1 second."""
    clock, work = Clock(monkeypatch), Work(WorkerUnreachable("one"), StoreCredentials("two"))
    assert await retry_transient(work, 60.0) == 7
    assert (work.attempts, clock.pauses) == (3, [0.5, 1.0])


@pytest.mark.parametrize("error", [ImageNotFound("none"), BadRequest("wrong")])
async def test_other_errors_are_raised_at_once(monkeypatch: pytest.MonkeyPatch, error: SarlensError) -> None:
    """A permanent error and an error of neither class are raised after one attempt."""
    clock, work = Clock(monkeypatch), Work(error)
    with pytest.raises(type(error)):
        await retry_transient(work, 60.0)
    assert (work.attempts, clock.pauses) == (1, [])


async def test_the_last_error_is_raised_after_the_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a timeout of 3 seconds, attempts at 0, 0.5, 1.5 and 3.5 seconds fail, and the last error is raised."""
    clock, work = Clock(monkeypatch), Work(*(NoWorkerAvailable(str(number)) for number in range(9)))
    with pytest.raises(NoWorkerAvailable, match="3"):
        await retry_transient(work, 3.0)
    assert (work.attempts, clock.now - 1000.0) == (4, 3.5)


async def test_a_canceled_retry_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """A retry is canceled during its pause."""
    monkeypatch.setattr(retry, "FIRST_PAUSE_S", 60.0)
    task = asyncio.create_task(retry_transient(Work(NoWorkerAvailable("none")), 60.0))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
