"""Construction of the gateway from its settings; no other package constructs its parts.

Parts that only some settings need are imported in the functions that construct them: their libraries take up to 0.2 s.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import structlog

from sarlens.api.app.asgi import GatewayApp
from sarlens.api.app.build import Endpoints, build_api
from sarlens.api.batches.line_client import RouteClient
from sarlens.api.common.request_recorder import RequestRecorder
from sarlens.api.console.pages import ConsoleConfig
from sarlens.api.jobs.billing import ApiKeyQuotaAccount
from sarlens.api.responses.store import ResponseStore
from sarlens.bootstrap.admission import make_body_memory, make_concurrency_limiter, open_authorizer
from sarlens.bootstrap.batches import open_batches, run_batches
from sarlens.bootstrap.images import make_store_factory, open_image_services, preload_libraries
from sarlens.bootstrap.jobs import open_jobs
from sarlens.bootstrap.tasks import run_until_exit
from sarlens.bootstrap.workers import make_dispatcher, make_readiness_queue, open_monitor, open_pool
from sarlens.imagery.render import kernels
from sarlens.inference.pipeline import InferencePipeline
from sarlens.jobs.engine import check_database
from sarlens.jobs.store import JobStore
from sarlens.observability.logging import AccessLog
from sarlens.observability.metrics import Metrics
from sarlens.observability.process_monitor import monitor_process
from sarlens.observability.tracing import NoOpTracer, Tracer
from sarlens.profiles.loading import load_profiles
from sarlens.runtime.kept_secret import load_or_create_secret
from sarlens.settings import Settings
from sarlens.settings.state_directory import state_directory
from sarlens.workers.image_index import ImageIndex

log = structlog.get_logger(__name__)


@asynccontextmanager
async def open_gateway(settings: Settings, *, shared_folder: Path | None = None) -> AsyncIterator[GatewayApp]:
    """Construct the gateway as an ASGI application; the end of the context closes all that it opened.

    Args:
        settings: the settings.
        shared_folder: folder that the processes of a gateway share, or None if there is only this one.

    Raises:
        StartupError: a file or a port that the settings name can't be used.
    """
    async with AsyncExitStack() as stack:
        metrics, tracer = Metrics(label_keys=settings.keys.label_metrics), await _open_tracer(settings, stack)
        image_index, secret = ImageIndex(), image_id_secret(settings).encode()
        profiles = load_profiles(settings.profiles)
        pool = await open_pool(settings, profiles, metrics, image_index, stack)
        image_services = await open_image_services(settings, metrics, stack)
        inference = InferencePipeline(
            pool,
            image_services.images,
            make_dispatcher(settings, pool, image_index, metrics, secret),
            make_concurrency_limiter(settings, pool, metrics),
            make_readiness_queue(settings, pool, metrics),
            profiles=profiles,
            image_id_secret=secret,
            image_first=settings.routing.image_first,
            priority_scheduling=settings.worker.priority_scheduling,
            max_batch_questions=settings.worker.max_batch_questions,
        )
        authorizer = await open_authorizer(settings, metrics, shared_folder, stack)
        jobs = await open_jobs(
            settings, inference, ApiKeyQuotaAccount(authorizer, pool, metrics), metrics, tracer, stack
        )
        parts = open_batches(settings, jobs, stack)
        endpoints = build_api(
            inference,
            image_services.scenes,
            authorizer,
            make_body_memory(settings, metrics),
            RequestRecorder(metrics, AccessLog(settings.access_log_ratio), tracer),
            jobs.service,
            jobs.exporter,
            parts.files,
            parts.batches,
            _open_responses(settings, jobs.store, stack),
            max_body_bytes=settings.limit.max_body_bytes,
            max_images=settings.limit.max_images,
            max_object_bytes=settings.limit.max_object_bytes,
            max_questions=settings.limit.max_questions,
            cors_origins=settings.cors.origins,
            console=ConsoleConfig(**settings.console.model_dump()),
            forward_paths=settings.worker.forward_paths,
            public_url=settings.public_url,
            management_port=settings.management.port is not None,
            with_mcp=settings.mcp.enabled,
        )
        core = endpoints.core
        client = RouteClient(endpoints.routes, authorizer, core.submission, jobs.service, tracer)
        run_batches(settings, jobs, parts, client, metrics)
        run_until_exit(stack, jobs.executor.run_forever())
        await _open_grpc(settings, endpoints, stack, shared=shared_folder is not None)
        # Last, so that a gateway that can't start reports only its error.
        monitor = await open_monitor(settings, pool, metrics, stack)
        run_until_exit(stack, monitor.run_forever())
        run_until_exit(stack, preload_libraries(pool))
        run_until_exit(stack, monitor_process(metrics, lambda: image_services.threads.running))
        if not kernels.NATIVE:
            log.warning("speckle filters use NumPy", reason="Sarlens was installed without a C compiler")
        yield endpoints.app


def image_id_secret(settings: Settings) -> str:
    """Return the secret of the ids under which workers cache images; without a setting, that of the state directory.

    Raises:
        StartupError: the file in the state directory holds no secret.
    """
    if settings.worker.image_id_secret is not None:
        return settings.worker.image_id_secret.get_secret_value()
    return load_or_create_secret(state_directory() / "image-id-secret")


def check_dependencies(settings: Settings) -> None:
    """Check the store and the database that the settings name, once and before anything is served.

    Without a configured store or database there is nothing to check: requests may never need them.

    Raises:
        StartupError: one can't be reached or rejects the gateway's credentials.
    """
    s3, database = settings.s3, settings.survey.database
    if s3.endpoint or (not s3.anonymous and (s3.profile or s3.buckets)):
        from sarlens.imagery.sources.s3_healthcheck import check_s3

        check_s3(make_store_factory(settings), f"S3 at {s3.endpoint}" if s3.endpoint else "S3")
    if database is not None:
        check_database(database.get_secret_value())


def _open_responses(settings: Settings, store: JobStore, stack: AsyncExitStack) -> ResponseStore | None:
    responses = settings.responses
    if not responses.store:
        return None
    response_store = ResponseStore(
        store.responses,
        retention_s=responses.retention_s,
        max_owner_bytes=responses.max_stored_bytes_per_key,
        max_bytes=settings.limit.max_body_bytes,
    )
    run_until_exit(stack, response_store.clean_up_forever())
    return response_store


async def _open_tracer(settings: Settings, stack: AsyncExitStack) -> Tracer:
    tracing = settings.tracing
    if tracing.endpoint is None:
        return NoOpTracer()
    from sarlens.observability.otel import open_tracer

    return await stack.enter_async_context(open_tracer(tracing.endpoint, tracing.sample_ratio))


async def _open_grpc(settings: Settings, endpoints: Endpoints, stack: AsyncExitStack, *, shared: bool) -> None:
    grpc = settings.grpc
    if grpc.port is None:
        return
    from sarlens.api.app.grpc_services import build_grpc_services
    from sarlens.api.grpc.server import HealthOf, read_credentials, serve_grpc

    data_plane = endpoints.core.data_plane
    credentials = None
    if grpc.cert_file and grpc.key_file:
        credentials = read_credentials(grpc.cert_file, grpc.key_file, grpc.client_ca_file)
    server = serve_grpc(
        build_grpc_services(endpoints.core, grpc.max_concurrent_calls),
        HealthOf(lambda: data_plane.accepts_requests, lambda: data_plane.ready),
        settings.host,
        grpc.port,
        message_bytes=min(grpc.max_message_bytes, settings.limit.max_body_bytes),
        max_concurrent_calls=grpc.max_concurrent_calls,
        credentials=credentials,
        shared=shared,
    )
    await stack.enter_async_context(server)
