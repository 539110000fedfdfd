"""Construction of the jobs of surveys."""

from __future__ import annotations

from contextlib import AsyncExitStack

from sarlens.bootstrap.images import make_store_factory
from sarlens.bootstrap.tasks import run_until_exit
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


async def open_job_service(
    settings: Settings,
    inference: InferencePipeline,
    quota_account: QuotaAccount,
    metrics: Metrics,
    tracer: Tracer,
    stack: AsyncExitStack,
) -> tuple[JobService, ResultExporter]:
    """Open the database of jobs, and run the jobs."""
    survey = settings.survey
    store = JobStore(
        survey.database_url, OwnerLimits(survey.max_unfinished_jobs_per_key, survey.max_stored_bytes_per_key)
    )
    exporter = ResultExporter(
        store,
        S3Writer(make_store_factory(settings)),
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
    run_until_exit(stack, executor.run_forever())
    return JobService(store, planner, exporter, executor), exporter
