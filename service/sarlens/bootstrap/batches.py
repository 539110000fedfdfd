"""Construction of files and batches."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

from sarlens.batches.file_service import FileService
from sarlens.batches.input_file import InputLimits
from sarlens.batches.line import LineClient
from sarlens.batches.results import ResultFiles
from sarlens.batches.runner import BatchLimits, BatchRunner
from sarlens.batches.service import BatchService
from sarlens.batches.storage import FileStorage, FolderStorage, S3Storage
from sarlens.bootstrap.images import make_store_factory
from sarlens.bootstrap.jobs import JobParts
from sarlens.bootstrap.tasks import run_until_exit
from sarlens.imagery.sources.s3_files import S3Files
from sarlens.imagery.sources.s3_writer import S3Writer
from sarlens.jobs.batches import BATCH
from sarlens.jobs.files import FileLimits
from sarlens.jobs.filters import JobFilter
from sarlens.observability.metrics import Metrics
from sarlens.settings import Settings
from sarlens.surveys.job_executor import JobKind


class BatchParts(NamedTuple):
    """What serves files and batches."""

    files: FileService
    batches: BatchService


def open_batches(settings: Settings, jobs: JobParts, stack: AsyncExitStack) -> BatchParts:
    """Open the storage of files."""
    files_settings = settings.files
    limits = FileLimits(
        files_settings.max_file_bytes, files_settings.max_files_per_key, files_settings.max_stored_bytes_per_key
    )
    storage = _make_storage(settings, jobs.writer)
    files = FileService(jobs.store, storage, limits, retention_s=files_settings.retention_s)
    run_until_exit(stack, files.clean_up_forever())
    batches = BatchService(jobs.store, files, jobs.executor, jobs.writer, settings.survey.output_prefixes)
    return BatchParts(files, batches)


def run_batches(settings: Settings, jobs: JobParts, parts: BatchParts, client: LineClient, metrics: Metrics) -> None:
    """Let the executor of jobs run batches, whose lines ``client`` runs."""
    batch, timeout_s = settings.batch, settings.batch.retry_timeout_s
    runner = BatchRunner(
        jobs.store,
        parts.files,
        S3Files(make_store_factory(settings), timeout_s=settings.s3.request_timeout_s, buckets=settings.s3.buckets),
        ResultFiles(jobs.store, parts.files, jobs.writer, retry_timeout_s=timeout_s),
        client,
        BatchLimits(
            InputLimits(settings.files.max_file_bytes, batch.max_lines, batch.max_line_bytes),
            batch.max_concurrent_lines,
            timeout_s,
        ),
        metrics,
    )
    jobs.executor.add_kind(
        JobKind(
            JobFilter(processes=(BATCH,)),
            batch.max_concurrent_jobs,
            runner.run,
            lambda status: metrics.ended_batches.labels(status).inc(),
            limits_bytes=False,
        )
    )


def _make_storage(settings: Settings, writer: S3Writer) -> FileStorage:
    location = settings.files.location_in_force
    if not location.startswith("s3://"):
        return FolderStorage(Path(location))
    return S3Storage(location, S3Files(make_store_factory(settings), timeout_s=settings.s3.request_timeout_s), writer)
