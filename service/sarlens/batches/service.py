"""Batch service: create, find and cancel batches."""

from __future__ import annotations

import time
from collections.abc import Collection

from sarlens.batches.file_service import FileService
from sarlens.batches.spec import WINDOW_S, BatchSpec, job_of
from sarlens.errors import BadRequest
from sarlens.jobs.batches import BATCH, Batch
from sarlens.jobs.models import Job, JobOwner
from sarlens.jobs.pages import Page
from sarlens.jobs.store import JobStore
from sarlens.surveys.exporter import ResultWriter, check_output
from sarlens.surveys.job_executor import JobExecutor


class BatchService:
    """Batches of all API keys. The executor of this process or of another one runs them."""

    def __init__(
        self,
        store: JobStore,
        files: FileService,
        executor: JobExecutor,
        writer: ResultWriter,
        output_prefixes: Collection[str],
    ) -> None:
        """``output_prefixes`` are the prefixes below which results may be written."""
        self.output_prefixes = output_prefixes
        self._store = store
        self._files = files
        self._executor = executor
        self._writer = writer

    async def create(
        self, spec: BatchSpec, owner: JobOwner, file_owner: str | None, key_prefixes: Collection[str] | None
    ) -> Batch:
        """Store a batch, whose input is validated when it runs, and return it.

        Args:
            spec: the batch.
            owner: the caller.
            file_owner: owner of the files that the caller can read, or None for all files.
            key_prefixes: prefixes that the caller may write results below, or None for all prefixes of the gateway.

        Raises:
            FileNotFound: the caller has no such input file.
            BadRequest: the input isn't a file for batches, or a URL is invalid.
            SourceNotAllowed, PermissionDenied: the output isn't below an allowed prefix.
            QuotaExceeded, PayloadTooLarge: the caller has too many unfinished jobs, or too much is stored.
        """
        input_file = ""
        if spec.input_url is None:
            file = await self._files.find(spec.input_file_id, file_owner)
            if file.purpose != BATCH:
                raise BadRequest("The purpose of the input file must be batch.", param="input_file_id")
            input_file = file.id
        if spec.output is not None:
            url = f"{spec.output.rstrip('/')}/{BATCH}"
            check_output(url, self.output_prefixes, key_prefixes)
            await self._writer.check(url, overwrite=True)
        job = Job(BATCH, owner.name, spec.model_dump_json(), priority=owner.priority)
        await self._store.batches.add(job, self._store.limits, input_file=input_file, expires=time.time() + WINDOW_S)
        self._executor.wake()
        return await self._store.batches.find(job.id)

    async def find(self, batch_id: str, owner: str | None) -> Batch:
        """Return a batch of an owner, or of any owner if ``owner`` is None.

        Raises:
            JobNotFound: the owner has no such batch.
        """
        return await self._store.batches.find(job_of(batch_id), owner)

    async def list_batches(self, owner: str | None, limit: int, after: str | None) -> list[Batch]:
        """Return up to ``limit`` batches of an owner after one with an id, newest first.

        Raises:
            BadRequest, JobNotFound: the owner has no batch with this id.
        """
        page = Page(None if after is None else job_of(after), limit)
        return await self._store.batches.list_batches(owner, page)

    async def cancel(self, batch: Batch) -> Batch:
        """Cancel a batch; lines with a result keep it. A batch that has ended stays as it is."""
        await self._store.batches.cancel(batch.job)
        self._executor.wake()
        return await self._store.batches.find(batch.job)
