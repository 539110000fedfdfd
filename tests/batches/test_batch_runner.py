"""Batch runner over a real database and a real folder, with a client that answers lines itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from sarlens.batches.file_service import FileService
from sarlens.batches.input_file import InputLimits
from sarlens.batches.line import BatchLine, LineResponse
from sarlens.batches.results import ResultFiles
from sarlens.batches.runner import BatchLimits, BatchRunner
from sarlens.batches.spec import BatchSpec
from sarlens.batches.storage import FolderStorage
from sarlens.errors import AccessDenied, ModelNotFound, SarlensError, WorkerFailed
from sarlens.imagery.sources.s3_credentials import S3StoreFactory
from sarlens.imagery.sources.s3_files import S3Files
from sarlens.jobs.batches import BATCH, Batch
from sarlens.jobs.files import FileLimits, StoredFile, new_file_id
from sarlens.jobs.models import Job, JobStatus
from sarlens.jobs.owner_limits import OwnerLimits
from sarlens.jobs.store import JobStore
from sarlens.observability.metrics import Metrics
from sarlens.surveys import retry
from sarlens.surveys.retry import JobSuspended

CHAT = "/v1/chat/completions"
LIMITS = OwnerLimits(10, 2**20)


class RejectingWriter:
    """Store of results that denies every write."""

    async def check(self, url: str, *, overwrite: bool) -> None:
        """Accept every output."""

    async def put(self, url: str, file: Path, *, job_id: str, media_type: str, overwrite: bool) -> None:
        """Deny the write."""
        raise AccessDenied(f"{url} can't be written.", param="output")


@dataclass
class Harness:
    """A runner, and the lines that its client got."""

    store: JobStore
    storage: FolderStorage
    files: FileService
    asked: list[str] = field(default_factory=list)
    answer: Callable[[str], SarlensError | None] = lambda _: None
    """Error of a line by its custom id, or None for an answer."""

    async def run(self, owner: str, request_id: str, line: BatchLine) -> LineResponse:
        """Answer a line."""
        self.asked.append(line.custom_id)
        error = self.answer(line.custom_id)
        return LineResponse(200, b'{\n"ok":1}') if error is None else LineResponse(error.status, b"{}", error)

    async def abandon(self, owner: str, request_id: str, line: BatchLine) -> None:
        """Do nothing."""

    async def add(self, lines: int, **spec: Any) -> Job:
        """Add a batch of lines."""
        path = self.storage.incoming / "in"
        path.parent.mkdir(parents=True, exist_ok=True)
        documents = [{"custom_id": str(index), "method": "POST", "url": CHAT, "body": {}} for index in range(lines)]
        path.write_text("\n".join(json.dumps(document) for document in documents))
        file = await self.files.add("", "in.jsonl", BATCH, path)
        request = BatchSpec(endpoint=CHAT, input_file_id=file.id, **spec)
        job = Job(BATCH, "", request.model_dump_json())
        await self.store.batches.add(job, LIMITS, input_file=file.id, expires=2e9)
        return job

    async def execute(self, job: Job, stopping: asyncio.Event | None = None, **limits: Any) -> JobStatus:
        """Run a batch as the executor does."""
        batch_limits = BatchLimits(
            InputLimits(2**20, 100, 2**10), **{"max_concurrent_lines": 2, "retry_timeout_s": 0} | limits
        )
        results = ResultFiles(self.store, self.files, RejectingWriter(), retry_timeout_s=0)
        s3_files = S3Files(S3StoreFactory())
        runner = BatchRunner(self.store, self.files, s3_files, results, self, batch_limits, Metrics())
        return await runner.run(job, stopping or asyncio.Event(), lambda: None)

    async def lines(self, batch: Batch, kind: str) -> list[Any]:
        """Return the lines of a result file."""
        file = await self.files.find(f"file-{batch.job}-{kind}", None)
        content = b"".join([part async for part in self.files.read(file)])
        return [json.loads(line) for line in content.splitlines()]


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[Harness]:
    """A runner on an empty database."""
    store = JobStore(f"sqlite:///{tmp_path / 'jobs.db'}", LIMITS)
    storage = FolderStorage(tmp_path / "files")
    yield Harness(store, storage, FileService(store, storage, FileLimits(2**20, 10, 2**20), retention_s=3600))
    await store.close()


async def test_results_that_s3_rejects_become_files(harness: Harness) -> None:
    """If the output can't be written when the batch ends, the results are files, and errors has the reason."""
    job = await harness.add(2, output="s3://results/x")
    assert await harness.execute(job) is JobStatus.SUCCESSFUL
    batch = await harness.store.batches.find(job.id)
    assert (batch.ended, batch.output_file, batch.error_file) == ("completed", f"file-{job.id}-output", None)
    assert json.loads(batch.errors or "") == [
        {"code": "access_denied", "message": batch_url(job), "param": "output", "line": None}
    ]
    lines = await harness.lines(batch, "output")
    assert [(line["custom_id"], line["response"]["body"]) for line in lines] == [("0", {"ok": 1}), ("1", {"ok": 1})]


def batch_url(job: Job) -> str:
    """Return the message of the rejected output."""
    return f"s3://results/x/batch_{job.id}_output.jsonl can't be written."


async def test_transient_errors_are_retried(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line whose worker fails runs again until the timeout; a model that isn't served is its result at once."""
    monkeypatch.setattr(retry, "FIRST_PAUSE_S", 0.0)
    failures = iter([WorkerFailed("lost"), WorkerFailed("lost")])
    harness.answer = lambda name: next(failures, None) if name == "0" else ModelNotFound("none")
    job = await harness.add(2)
    await harness.execute(job, retry_timeout_s=60)
    assert sorted(harness.asked) == ["0", "0", "0", "1"]
    batch = await harness.store.batches.find(job.id)
    assert (batch.completed, batch.failed) == (1, 1)
    harness.answer = lambda _: WorkerFailed("lost")
    job = await harness.add(1)
    await harness.execute(job)
    (line,) = await harness.lines(await harness.store.batches.find(job.id), "error")
    assert line["response"]["status_code"] == 502


async def test_a_stopped_batch_continues(harness: Harness) -> None:
    """A batch that stops finishes its lines in progress, and a later run runs only the others."""
    stopping = asyncio.Event()

    def answer(name: str) -> None:
        if name == "3":
            stopping.set()

    harness.answer = answer
    job = await harness.add(10)
    with pytest.raises(JobSuspended):
        await harness.execute(job, stopping)
    batch = await harness.store.batches.find(job.id)
    assert (batch.total, batch.ended) == (10, None)
    assert len(harness.asked) == batch.completed <= 5
    assert await harness.execute(job) is JobStatus.SUCCESSFUL
    assert sorted(harness.asked) == [str(index) for index in range(10)]
    assert await harness.store.batches.finished_lines(job.id) == set()


async def test_a_killed_finalization_is_repeated(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that dies after the files are written leaves them to be written again; no line runs twice."""
    job = await harness.add(3)

    async def die(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(harness.store.batches, "end", die)
        with pytest.raises(KeyboardInterrupt):
            await harness.execute(job)
    assert await harness.execute(job) is JobStatus.SUCCESSFUL
    batch = await harness.store.batches.find(job.id)
    assert (len(harness.asked), len(await harness.lines(batch, "output")), batch.completed) == (3, 3, 3)
    assert await harness.execute(job) is JobStatus.SUCCESSFUL


async def test_a_batch_without_its_input_fails(harness: Harness) -> None:
    """If the content of the input is gone, the batch fails with this error."""
    job = await harness.add(1)
    batch = await harness.store.batches.find(job.id)
    await harness.storage.delete(batch.input)
    assert await harness.execute(job) is JobStatus.FAILED
    batch = await harness.store.batches.find(job.id)
    assert [error["code"] for error in json.loads(batch.errors or "[]")] == ["file_not_found"]


async def test_too_many_results_end_a_batch(harness: Harness) -> None:
    """A batch whose owner has stored too much fails, and its results so far are kept."""
    release = asyncio.Event()
    run = harness.run

    async def slow(owner: str, request_id: str, line: BatchLine) -> LineResponse:
        if line.custom_id == "1":
            await release.wait()
        response = await run(owner, request_id, line)
        return response._replace(body=b'"' + b"x" * 2**20 + b'"')

    harness.run = slow  # type: ignore[method-assign]
    job = await harness.add(2)
    assert await harness.execute(job) is JobStatus.FAILED
    batch = await harness.store.batches.find(job.id)
    assert [error["code"] for error in json.loads(batch.errors or "[]")] == ["too_large"]
    assert (batch.completed, batch.output_file) == (1, f"file-{job.id}-output")


async def test_expired_files_are_deleted(harness: Harness) -> None:
    """An expired file can't be found; the cleanup removes row and content, except those that a batch reads."""
    job = await harness.add(1)
    used = (await harness.store.batches.find(job.id)).input
    path = harness.storage.incoming / "in"
    path.write_text("x")
    unused = (await harness.files.add("", "x", BATCH, path)).id
    for id_ in (used, unused):
        await harness.store.files.add(StoredFile("", "x", BATCH, 1, 1.0, id_))
    cleaning = asyncio.create_task(harness.files.clean_up_forever())
    async with asyncio.timeout(10):
        while harness.storage.path_of(unused).exists() or unused in await harness.store.files.expired():
            await asyncio.sleep(0.01)
    cleaning.cancel()
    assert await harness.store.files.find(used, None) is None
    assert await harness.store.files.expired() == [used]
    assert harness.storage.path_of(used).exists()
    assert new_file_id() != unused
