"""The only place that constructs things: settings in, an open gateway out."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, suppress

from sarlens.admission.gate import Gate
from sarlens.admission.keys import KeyFile
from sarlens.admission.memory import Memory
from sarlens.admission.quota import Buckets, LocalBuckets, Quotas, SharedBuckets
from sarlens.dispatch import Dispatcher
from sarlens.imagery.blob import Limits
from sarlens.imagery.cache import Blocks, ByteLRU
from sarlens.imagery.data import Data
from sarlens.imagery.https import open_https
from sarlens.imagery.pictures import Pictures
from sarlens.imagery.raster import Picture
from sarlens.imagery.s3 import S3
from sarlens.imagery.s3_account import Account
from sarlens.imagery.s3_check import check_store
from sarlens.imagery.s3_sink import S3Sink
from sarlens.imagery.source import Source, Sources
from sarlens.inference import Inference
from sarlens.ingress.app import Surface, build_surface
from sarlens.ingress.door import Door
from sarlens.ingress.front import Front
from sarlens.ingress.grpc_server import read_credentials, serve_grpc
from sarlens.ingress.journal import Journal
from sarlens.ingress.till import DoorTill
from sarlens.log import AccessLog
from sarlens.metrics import Metrics
from sarlens.routing.policy import Router
from sarlens.settings import Settings
from sarlens.survey.conduct import Conductor, Pace
from sarlens.survey.delivery import Delivery
from sarlens.survey.interview import Till
from sarlens.survey.office import Office
from sarlens.survey.store import Store
from sarlens.survey.tables import check_database
from sarlens.tracing import Tracer, Untraced
from sarlens.workers.breaker import Breaker, RetryBudget
from sarlens.workers.client import Client
from sarlens.workers.discovery import finder
from sarlens.workers.leading import Leaders
from sarlens.workers.openai import HttpClient, Patience, open_session
from sarlens.workers.pool import Pool, Worker
from sarlens.workers.residency import Residency
from sarlens.workers.template import read_template
from sarlens.workers.triton import PLAIN, SECURE, TritonClient


@asynccontextmanager
async def open_gateway(settings: Settings, *, shared: bool = False) -> AsyncIterator[Front]:
    """The gateway as an ASGI application; all that it opened is closed with the context.

    With ``shared``, other processes of the same gateway listen on the port of gRPC as well.
    """
    async with AsyncExitStack() as stack:
        metrics, tracer = Metrics(), await _open_tracer(settings, stack)
        pool = await _open_pool(settings, metrics, stack)
        pictures = await _open_pictures(settings, metrics, stack)
        inference = Inference(
            pool,
            pictures,
            _dispatcher(settings, pool, metrics),
            _gate(settings, pool, metrics),
            size=settings.render.size,
            sizes=settings.render.sizes,
            image_first=settings.routing.image_first,
        )
        limit = settings.limit
        door, memory = await _open_door(settings, stack), Memory(settings.admission.body_bytes, metrics)
        office, delivery = await _open_office(
            settings, inference, DoorTill(door, pool, metrics), metrics, tracer, stack
        )
        surface = build_surface(
            inference,
            door,
            memory,
            Journal(metrics, AccessLog(settings.access_log), tracer),
            office,
            delivery,
            body_bytes=limit.body_bytes,
            max_images=limit.images,
            max_questions=limit.questions,
            public_url=settings.public_url,
        )
        await _open_grpc(settings, surface, stack, shared=shared)
        # Last, so that a gateway that cannot start says that alone.
        stack.push_async_callback(_cancel, asyncio.create_task(pool.watch_forever(settings.worker.probe_s)))
        yield surface.front


def check(settings: Settings) -> None:
    """Make sure, once and before anything is served, of what the settings name beyond this machine.

    A store or a database that nobody has named is left alone: the gateway may never be asked for it.

    Raises:
        CannotStart: it is not there, or does not know the gateway.
    """
    s3, database = settings.s3, settings.survey.database
    if s3.endpoint or (not s3.anonymous and (s3.profile or s3.buckets)):
        check_store(_account(settings), f"S3 at {s3.endpoint}" if s3.endpoint else "S3")
    if database is not None:
        check_database(database.get_secret_value())


async def _open_tracer(settings: Settings, stack: AsyncExitStack) -> Tracer:
    given = settings.tracing
    if given.endpoint is None:
        return Untraced()
    from sarlens.otlp import open_tracer  # noqa: PLC0415  the SDK is loaded where it is used

    return await stack.enter_async_context(open_tracer(given.endpoint, given.share))


async def _open_office(
    settings: Settings, inference: Inference, till: Till, metrics: Metrics, tracer: Tracer, stack: AsyncExitStack
) -> tuple[Office, Delivery]:
    given = settings.survey
    store = Store(given.database_url)
    delivery = Delivery(store, S3Sink(_account(settings)), given.outputs)
    pace = Pace(given.at_once, given.patience_s, given.tiles)
    conductor = Conductor(inference, till, store, pace, metrics, tracer)
    office = Office(store, conductor, delivery, metrics, jobs=given.jobs, keep_s=given.keep_s)
    stack.push_async_callback(office.close)
    stack.push_async_callback(_cancel, asyncio.create_task(office.watch_forever()))
    return office, delivery


async def _open_grpc(settings: Settings, surface: Surface, stack: AsyncExitStack, *, shared: bool) -> None:
    given = settings.grpc
    if given.port is None:
        return
    credentials = None
    if given.cert_file and given.key_file:
        credentials = read_credentials(given.cert_file, given.key_file, given.client_ca_file)
    serving = serve_grpc(
        surface.services,
        lambda: surface.desk.ready,
        settings.host,
        given.port,
        message_bytes=settings.limit.body_bytes,
        credentials=credentials,
        shared=shared,
    )
    await stack.enter_async_context(serving)


async def _open_door(settings: Settings, stack: AsyncExitStack) -> Door:
    given = settings.keys
    buckets: Buckets = LocalBuckets()
    if given.redis_url is not None:
        buckets = shared = SharedBuckets(given.redis_url.get_secret_value())
        stack.push_async_callback(shared.close)
    if given.file is None:
        return Door(None, Quotas(buckets))
    keys = KeyFile(given.file)
    watching = asyncio.create_task(keys.watch_forever())
    stack.push_async_callback(_cancel, watching)
    return Door(keys, Quotas(buckets))


def _gate(settings: Settings, pool: Pool, metrics: Metrics) -> Gate:
    given = settings.admission
    return Gate(
        places=lambda: given.requests * pool.ready_workers,
        pixels=given.pixels,
        queue=given.queue,
        queue_s=given.queue_s,
        metrics=metrics,
    )


def _dispatcher(settings: Settings, pool: Pool, metrics: Metrics) -> Dispatcher:
    routing = settings.routing
    return Dispatcher(
        pool,
        Router(routing.policy, bound=routing.bound),
        Leaders(routing.lead_s),
        RetryBudget(routing.retry_share, routing.retry_reserve),
        metrics,
        hedge_s=routing.hedge_s,
    )


async def _open_pool(settings: Settings, metrics: Metrics, stack: AsyncExitStack) -> Pool:
    given = settings.worker
    session = await stack.enter_async_context(open_session(connect_s=given.connect_s, keepalive_s=given.keepalive_s))
    patience = Patience(given.first_token_s, given.idle_s, given.answer_s)
    key = given.api_key.get_secret_value() if given.api_key else None

    templates = {model: read_template(path) for model, path in given.chat_templates.items()}

    def connect(url: str) -> Client:
        if not url.startswith((f"{PLAIN}:", f"{SECURE}:")):
            return HttpClient(url, session, patience, api_key=key)
        triton = TritonClient(url, patience, templates)
        stack.push_async_callback(triton.close)
        return triton

    def make(url: str) -> Worker:
        client = connect(url)
        breaker = Breaker(given.breaker_failures, given.breaker_s)
        return Worker(client, metrics, residency=Residency(given.pictures), breaker=breaker)

    return Pool([finder(place) for place in given.urls], make, given.shares, metrics)


async def _open_pictures(settings: Settings, metrics: Metrics, stack: AsyncExitStack) -> Pictures:
    cache: ByteLRU[str, Picture] = ByteLRU(settings.cache.picture_bytes, weigh=lambda picture: len(picture.data))
    threads = ThreadPoolExecutor(settings.render.threads or os.cpu_count(), thread_name_prefix="imagery")
    stack.callback(threads.shutdown, wait=False, cancel_futures=True)
    limit = settings.limit
    limits = Limits(
        scene_pixels=limit.scene_pixels, window_pixels=limit.window_pixels, picture_bytes=limit.object_bytes
    )
    return Pictures(await _open_sources(settings, stack), cache, threads, limits, metrics)


async def _open_sources(settings: Settings, stack: AsyncExitStack) -> Sources:
    s3, https, limit = settings.s3, settings.https, settings.limit.object_bytes
    blocks: Blocks = ByteLRU(settings.cache.range_bytes, weigh=len)
    account = _account(settings)
    web = await stack.enter_async_context(open_https(blocks, hosts=https.hosts, limit=limit, timeout_s=https.timeout_s))
    data = Data(limit)
    schemes: dict[str, Source] = {
        "s3": S3(account, blocks, timeout_s=s3.timeout_s, fresh_s=s3.fresh_s, buckets=s3.buckets),
        "https": web,
        "data": data,
    }
    return Sources(schemes, data, public={"https", "s3"} if s3.anonymous else {"https"})


def _account(settings: Settings) -> Account:
    s3 = settings.s3
    return Account(
        endpoint=s3.endpoint, region=s3.region, profile=s3.profile, anonymous=s3.anonymous, timeout_s=s3.timeout_s
    )


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
