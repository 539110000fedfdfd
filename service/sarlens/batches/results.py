"""Result files of a batch: its output file and its error file, written when the batch ends."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

from sarlens.batches.file_service import FileService
from sarlens.batches.spec import BatchSpec, batch_id
from sarlens.batches.storage import JSONL, in_thread, temporary_file
from sarlens.jobs.batches import Batch
from sarlens.jobs.store import JobStore
from sarlens.surveys.exporter import ResultWriter
from sarlens.surveys.retry import retry_transient

_PAGE_LINES = 64
Kind = Literal["output", "error"]


class Results(NamedTuple):
    """Ids of the files, or their ``s3://`` URLs; None for a file without lines."""

    output_file: str | None
    error_file: str | None


class ResultFiles:
    """Writes result files. A repetition writes the same ones again."""

    def __init__(self, store: JobStore, files: FileService, writer: ResultWriter, *, retry_timeout_s: float) -> None:
        self._store = store
        self._files = files
        self._writer = writer
        self._retry_timeout_s = retry_timeout_s

    async def write(self, batch: Batch, spec: BatchSpec) -> Results:
        """Write the results of the lines so far.

        Raises:
            SarlensError: the storage or the store fails.
        """
        return Results(await self._write(batch, spec, "output"), await self._write(batch, spec, "error"))

    async def _write(self, batch: Batch, spec: BatchSpec, kind: Kind) -> str | None:
        id_ = batch_id(batch.job)
        async with temporary_file(self._files.storage) as path:
            if not await self._write_lines(batch.job, kind, path):
                return None
            url = spec.result_url(id_, kind)
            if url is not None:
                await retry_transient(
                    lambda: self._writer.put(url, path, job_id=batch.job, media_type=JSONL, overwrite=True),
                    self._retry_timeout_s,
                )
                return url
            file_id = f"file-{batch.job}-{kind}"
            name = f"{id_}_{kind}.jsonl"
            await self._files.add(batch.owner, name, "batch_output", path, ttl_s=spec.output_ttl_s, file_id=file_id)
            return file_id

    async def _write_lines(self, job_id: str, kind: Kind, path: Path) -> int:
        """Write the lines of a kind in the order of the input, and return their number."""
        after, lines = -1, 0
        with await in_thread(lambda: path.open("w", encoding="utf-8", newline="")) as file:
            while page := await self._store.batches.list_results(
                job_id, failed=kind == "error", after=after, limit=_PAGE_LINES
            ):
                after, lines = page[-1][0], lines + len(page)
                await in_thread(file.writelines, [f"{document}\n" for _, document in page])
        return lines
