"""Construction of jobs."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import NamedTuple

from sarlens.bootstrap.images import make_store_factory
from sarlens.imagery.sources.s3_writer import S3Writer
from sarlens.inference.pipeline import InferencePipeline
from sarlens.jobs.owner_limits import OwnerLimits
from sarlens.jobs.store import JobStore
from sarlens.observability.metrics import Metrics
from sarlens.observability.tracing import Tracer
from sarlens.settings import Settings
from sarlens.surveys.exporter import ResultExporter
from sarlens.surveys.job_executor import JobExecutor
from sarlens.surveys.job_service import JobService
from sarlens.surveys.planner import SurveyLimits, SurveyPlanner
from sarlens.surveys.quota_account import QuotaAccount
from sarlens.surveys.runner import SurveyRunner


class JobParts(NamedTuple):
    """What stores, runs and exports jobs."""

    service: JobService
    store: JobStore
    executor: JobExecutor
    exporter: ResultExporter
    writer: S3Writer


async def open_jobs(
    settings: Settings,
    inference: InferencePipeline,
    quota_account: QuotaAccount,
    metrics: Metrics,
    tracer: Tracer,
    stack: AsyncExitStack,
) -> JobParts:
    """Open the database of jobs; ``executor.run_forever`` runs the jobs."""
    survey = settings.survey
    store = JobStore(
        survey.database_url, OwnerLimits(survey.max_unfinished_jobs_per_key, survey.max_stored_bytes_per_key)
    )
    writer = S3Writer(make_store_factory(settings))
    exporter = ResultExporter(
        store,
        writer,
        survey.output_prefixes,
        retry_timeout_s=survey.retry_timeout_s,
    )
    limits = SurveyLimits(survey.max_concurrent_tiles, survey.retry_timeout_s, survey.max_tiles)
    planner = SurveyPlanner(inference, quota_account, limits)
    executor = JobExecutor(
        store,
        planner,
        SurveyRunner(inference, quota_account, store, limits, metrics, tracer),
        exporter,
        metrics,
        max_concurrent_jobs=survey.max_concurrent_jobs,
        retention_s=survey.retention_s,
    )
    stack.push_async_callback(store.close)
    stack.push_async_callback(executor.close)
    return JobParts(JobService(store, planner, exporter, executor), store, executor, exporter, writer)
