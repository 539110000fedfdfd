"""Files, batches and responses in SQLite and in PostgreSQL."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from sarlens.errors import BadRequest, JobNotFound, PayloadTooLarge, QuotaExceeded
from sarlens.jobs.batches import BATCH, LineResult
from sarlens.jobs.files import FileLimits, StoredFile
from sarlens.jobs.group_writer import JobNotActive
from sarlens.jobs.models import Job, JobStatus
from sarlens.jobs.owner_limits import OwnerLimits
from sarlens.jobs.pages import Page
from sarlens.jobs.responses import StoredResponse
from sarlens.jobs.store import JobStore

OWNER = OwnerLimits(10, 10_000)
FILES = FileLimits(100, 3, 200)


def file(name: str, owner: str = "a", size: int = 10, **fields: Any) -> StoredFile:
    """A file that expires in an hour."""
    defaults: dict[str, Any] = {"expires": time.time() + 3600, "id": f"file-{name}"}
    return StoredFile(owner, name, "batch", size, **defaults | fields)


async def add_batch(store: JobStore, owner: str = "a", **fields: Any) -> Job:
    """Add a batch."""
    job = Job(BATCH, owner, "{}", **fields)
    await store.batches.add(job, OWNER, input_file="file-in", expires=2e9)
    return job


@pytest.fixture(autouse=True)
async def _empty(store: JobStore) -> None:
    """Remove the rows of earlier tests, which PostgreSQL keeps."""
    kept = [found.id for found in await store.files.list_files(None, None, Page(limit=100))]
    for file_id in (*kept, *await store.files.expired()):
        await store.files.delete(file_id)
    for response_id in "123456789":
        await store.responses.delete(response_id)


async def test_files_belong_to_their_owner(store: JobStore) -> None:
    """A file is found by its owner, or by any if the gateway has no keys, until it expires."""
    kept, gone = file("kept"), file("gone", expires=time.time() - 1)
    for stored in (kept, gone):
        await store.files.add(stored)
    assert await store.files.find(kept.id, "a") == await store.files.find(kept.id, None) == kept
    assert await store.files.find(kept.id, "b") is None
    assert await store.files.find(gone.id, "a") is None
    assert await store.files.expired() == [gone.id]
    await store.files.add(file("other", owner="b"))
    assert [found.id for found in await store.files.list_files("a", None, Page())] == [kept.id]
    assert await store.files.list_files("a", "vision", Page()) == []


async def test_files_have_limits(store: JobStore) -> None:
    """The number and the bytes of an owner's files are limited, also if two are added at the same time."""
    await store.files.add(file("1", size=100), FILES)
    with pytest.raises(PayloadTooLarge):
        await store.files.add(file("2", size=101), FILES)
    await store.files.add(file("2", size=99), FILES)
    adds = (store.files.add(file(name, size=0), FILES) for name in "3456")
    failures = await asyncio.gather(*adds, return_exceptions=True)
    assert [type(failure) for failure in failures if failure is not None] == [QuotaExceeded] * 3
    await store.files.add(file("1", owner="b", size=100, id="file-b"), FILES)


async def test_pages_follow_each_other(store: JobStore) -> None:
    """Files of one time have the order of their ids, and a page begins after the last id of the one before."""
    now = time.time()
    for index in range(5):
        await store.files.add(file(str(index), created=now))
    pages = []
    after = None
    while found := await store.files.list_files("a", None, Page(after, 2)):
        after = found[-1].id
        pages.append([stored.filename for stored in found])
    assert pages == [["4", "3"], ["2", "1"], ["0"]]
    oldest = await store.files.list_files("a", None, Page("file-1", 2, oldest_first=True))
    assert [stored.filename for stored in oldest] == ["2", "3"]
    with pytest.raises(BadRequest):
        await store.files.list_files("b", None, Page("file-1"))


async def test_lines_are_counted_once(store: JobStore) -> None:
    """The first result of a line stays; the end of a batch keeps the counts, and frees the bytes of its lines."""
    job = await add_batch(store)
    results = [LineResult(0, False, "x" * 4000), LineResult(1, True, "y"), LineResult(0, True, "z")]
    await asyncio.gather(*(store.batches.write_line(job.id, result) for result in results))
    batch = await store.batches.find(job.id, "a")
    assert (batch.completed, batch.failed, batch.ended) == (1, 1, None)
    assert await store.batches.finished_lines(job.id) == {0, 1}
    assert await store.batches.list_results(job.id, failed=False, after=-1, limit=9) == [(0, "x" * 4000)]
    assert await store.batches.list_results(job.id, failed=True, after=1, limit=9) == []
    await store.batches.write_line(job.id, LineResult(2, False, "x" * 6000))
    with pytest.raises(PayloadTooLarge):
        await add_batch(store)
    await store.batches.end(job.id, "completed", output_file="out", error_file=None)
    await add_batch(store)
    batch = await store.batches.find(job.id)
    assert (batch.completed, batch.failed, batch.ended, batch.output_file) == (2, 1, "completed", "out")
    assert await store.batches.finished_lines(job.id) == set()
    await store.update_active(job.id, status=JobStatus.SUCCESSFUL)
    with pytest.raises(JobNotActive):
        await store.batches.write_line(job.id, LineResult(3, False, "x"))
    with pytest.raises(JobNotFound):
        await store.batches.find(job.id, "b")


async def test_a_waiting_batch_is_canceled_at_once(store: JobStore) -> None:
    """A batch that no process runs ends at once, unless it has results; one that runs is only marked."""
    waiting, started, running = [await add_batch(store, created=1.0 + index) for index in range(3)]
    await store.batches.write_line(started.id, LineResult(0, False, "x"))
    await store.leases.claim("process", 60, 1)
    leased = [job for job in (waiting, started, running) if await store.leases.renew("process", 60, [job.id])]
    for job in (waiting, started, running):
        await store.batches.cancel(job.id)
    batches = {job.id: await store.batches.find(job.id) for job in (waiting, started, running)}
    assert all(batch.canceling is not None for batch in batches.values())
    active = {id_ for id_, batch in batches.items() if batch.status is JobStatus.ACCEPTED}
    assert active == {started.id, *(job.id for job in leased)}
    assert {batch.ended for id_, batch in batches.items() if id_ not in active} == {"cancelled"}
    assert await store.batches.uses_file("file-in")
    assert not await store.batches.uses_file("file-other")


async def test_deletion_of_a_batch_leaves_nothing(store: JobStore) -> None:
    """A deleted job has neither a batch nor lines."""
    job = await add_batch(store)
    await store.batches.write_line(job.id, LineResult(0, False, "x"))
    counts = await store.count_active()
    assert {labels: active.jobs for labels, active in counts.items()} == {(BATCH, "accepted"): 1}
    await store.delete([job.id])
    assert await store.batches.finished_lines(job.id) == set()
    assert await store.batches.list_batches(None, Page()) == []


async def test_a_conversation_is_a_chain(store: JobStore) -> None:
    """A conversation has its turns in order; it is empty if one is missing or of another owner, and has a limit."""
    for response_id, previous in (("1", None), ("2", "1"), ("3", "2")):
        new = StoredResponse(response_id, "a", previous, f"[{response_id}]", "{}")
        assert await store.responses.add(new, ttl_s=60, max_owner_bytes=10_000, conversation=[])
    turns = await store.responses.conversation("3", "a", 100)
    assert [turn.items for turn in turns] == ["[1]", "[2]", "[3]"]
    with pytest.raises(PayloadTooLarge):
        await store.responses.conversation("3", "a", 14)
    assert await store.responses.conversation("3", "b", 100) == ()
    assert (await store.responses.find("2", None) or turns[0]).previous == "1"
    await store.responses.delete("1")
    assert await store.responses.conversation("3", "a", 100) == ()


async def test_responses_are_evicted_and_expire(store: JobStore) -> None:
    """The oldest responses of an owner make room for a new one, and expired ones are deleted."""
    for response_id in "1234":
        new = StoredResponse(response_id, "a", None, "[]", "x" * 100)
        assert await store.responses.add(new, ttl_s=60, max_owner_bytes=10_000, conversation=[])
    large = StoredResponse("5", "a", None, "[]", "x" * 8000)
    assert await store.responses.add(large, ttl_s=60, max_owner_bytes=10_000, conversation=[])
    assert await store.responses.find("1", "a") is None
    assert await store.responses.find("5", "a") == large
    too_large = StoredResponse("6", "a", None, "[]", "x" * 10_000)
    assert not await store.responses.add(too_large, ttl_s=60, max_owner_bytes=10_000, conversation=[])
    expired = StoredResponse("7", "b", None, "[]", "{}")
    await store.responses.add(expired, ttl_s=-1, max_owner_bytes=10_000, conversation=[])
    assert await store.responses.find("7", "b") is None
    await store.responses.delete_expired()
    assert await store.responses.find("5", "a") == large
