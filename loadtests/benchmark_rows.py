"""Rows of ``benchmark.py``: the hot paths of the gateway, in this process and in a gateway's own."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack
from functools import partial
from itertools import count
from pathlib import Path
from time import process_time, thread_time
from typing import Any, NamedTuple

import grpc.aio
import numpy as np
import orjson
from tritonclient.grpc import service_pb2_grpc

from calibration import loop_ms
from cpu_per_request import IMAGE, TEXT, write_scene
from grpc_cost import noise_png, over_grpc
from harness import run_ms, sarlens, starter, stub_worker
from image_stage import new_image_ms
from kernel_speed import grey_image, speckled_raster
from overhead import PATH, SHORT, long_body
from raw_http_load import hammer
from sar_scenes import tiff
from sarlens.devstack.ports import free_port
from sarlens.devstack.seaweedfs import S3_CREDENTIALS, seaweedfs_command, upload_samples
from sarlens.imagery.core.raster import Quantity
from sarlens.imagery.render.png import encode_png
from sarlens.imagery.render.speckle import despeckle
from sarlens.routing.candidates import Candidates, Fleet
from sarlens.routing.router import Router
from sarlens.runtime.child_process import ManagedProcess
from sarlens.runtime.malloc import tune_malloc
from sarlens.surveys.tile_grid import TileGrid
from sarlens.types.render_params import RenderParams
from sarlens.types.window import Window
from survey_cost import sarlens_tiles

_COPIES = {512: 9, 2048: 4}
"""Scenes for each sample, by side in pixels; the first one isn't counted."""
_TOKENS = 33
"""Events with a delta in a stream of ``stub_worker.py``."""


class Sample(NamedTuple):
    """One sample of a row."""

    cost_ms: float
    """CPU milliseconds of an operation."""
    unit_ms: float
    """CPU milliseconds of fixed work at the same time: of the calibration loop, or of the stub worker an operation."""

    @property
    def ratio(self) -> float:
        """Cost of an operation in units, which a slower or busier machine changes as well."""
        return self.cost_ms / self.unit_ms


class Row(NamedTuple):
    """A hot path of the gateway."""

    name: str
    sample: Callable[[], Sample]
    """Takes a sample of 50 to 300 ms of CPU time."""
    uses_vectors: bool
    """Whether the time depends on the vector instructions of the processor."""


def start_rows(stack: ExitStack) -> list[Row]:
    """Start an S3 server, a stub worker and a gateway, which end with ``stack``, and return all rows."""
    tune_malloc()  # as the gateway does
    state = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    start = starter(stack, state)
    _write_scenes(state / "scenes")
    os.environ.update(S3_CREDENTIALS)
    s3_port, grpc_port = free_port(), free_port()
    s3_url = f"http://127.0.0.1:{s3_port}"
    upload_samples(start("s3", seaweedfs_command(state / "s3", s3_port), {}), s3_url, state / "scenes")
    worker_url, worker = stub_worker(start, "worker")
    settings = {"SARLENS_S3__ENDPOINT": s3_url, "SARLENS_GRPC__PORT": str(grpc_port)}
    url, gateway = sarlens(start, [worker_url], settings)
    return [*_image_rows(s3_url), *_kernel_rows(), _ranking_row(300), *_gateway_rows(url, grpc_port, gateway, worker)]


def beside_loop(cost_ms: Callable[[], float], loop: Callable[[], float] = loop_ms) -> Callable[[], Sample]:
    """Return a function that takes a sample of work in this process, with the calibration loop before and after it."""

    def sample() -> Sample:
        before = loop()
        cost = cost_ms()
        return Sample(cost, (before + loop()) / 2)

    return sample


def beside_worker(
    send: Callable[[], Coroutine[Any, Any, object]],
    operations: int,
    gateway_ms: Callable[[], float],
    worker_ms: Callable[[], float],
) -> Callable[[], Sample]:
    """Return a function that sends requests, and takes a sample of the gateway and of the worker that responds.

    Both wait for the network and lose their caches to other processes, which the calibration loop doesn't.
    """

    def sample() -> Sample:
        gateway, worker = gateway_ms(), worker_ms()
        asyncio.run(send())
        return Sample((gateway_ms() - gateway) / operations, (worker_ms() - worker) / operations)

    return sample


def _write_scenes(folder: Path) -> None:
    folder.mkdir()
    write_scene(folder / "scene.tif")
    shutil.copy(folder / "scene.tif", folder / "sea.tif")
    rng = np.random.default_rng(0)
    for side, copies in _COPIES.items():
        for number in range(copies):
            pixels = (100 * np.sqrt(rng.gamma(4.0, 0.25, (side, side)))).astype(np.uint16)
            tiff(folder / f"{side}-{number}.tif", pixels)


def _image_rows(s3_url: str) -> Iterator[Row]:
    """Yield rows of images that are read from S3 and rendered for the first time, in this process."""
    for side, model_side in ((512, 256), (2048, 448)):
        urls = [f"s3://scenes/{side}-{number}.tif" for number in range(_COPIES[side])]

        def new_image(urls: list[str] = urls, model_side: int = model_side) -> float:
            return asyncio.run(new_image_ms(s3_url, urls, model_side))

        yield Row(f"new image, {side}² to {model_side}²", beside_loop(new_image), uses_vectors=True)
    tiles = list(TileGrid(448, 64).tiles(2048, 2048, Window(0, 0, 2048, 2048)))[:15]

    def survey_tile() -> float:
        began = process_time()
        asyncio.run(sarlens_tiles(s3_url, RenderParams(), tiles))
        return 1000 * (process_time() - began) / len(tiles)

    yield Row("survey tile, 448² to 256²", beside_loop(survey_tile), uses_vectors=True)


def _kernel_rows() -> Iterator[Row]:
    raster = speckled_raster(512, Quantity.INTENSITY, masked=False)
    yield Row("refined Lee, 512²", _calls(partial(despeckle, raster, "refined_lee"), 60), uses_vectors=True)
    for side, calls in ((256, 400), (448, 150)):
        yield Row(f"PNG, {side}²", _calls(partial(encode_png, grey_image(side)), calls), uses_vectors=True)


def _ranking_row(workers: int) -> Row:
    fleet = Fleet([f"http://worker-{number}:8000" for number in range(workers)])
    candidates = Candidates(fleet, np.zeros(workers), np.ones(workers))
    rank, numbers = Router("affinity", load_bound=1.25).rank, count()
    sample = _calls(lambda: next(rank(candidates, f"picture-{next(numbers)}")), 2000)
    return Row(f"ranking of {workers} workers", sample, uses_vectors=False)


def _calls(function: Callable[[], object], calls: int) -> Callable[[], Sample]:
    """Return a function that takes a sample of the CPU time of calls in this thread."""

    def cost_ms() -> float:
        began = thread_time()
        for _ in range(calls):
            function()
        return 1000 * (thread_time() - began) / calls

    return beside_loop(cost_ms)


def _gateway_rows(url: str, grpc_port: int, gateway: ManagedProcess, worker: ManagedProcess) -> Iterator[Row]:
    """Yield rows of requests to a gateway whose worker responds from memory."""

    def cost(send: Callable[[], Coroutine[Any, Any, object]], operations: int) -> Callable[[], Sample]:
        return beside_worker(send, operations, partial(run_ms, gateway), partial(run_ms, worker))

    def post(body: bytes, requests: int, each: int = 1) -> Callable[[], Sample]:
        return cost(partial(hammer, url, PATH, body, requests=requests, callers=16), requests * each)

    async def over_one_channel(png: bytes = noise_png(447)) -> None:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{grpc_port}") as channel:
            ask = over_grpc(service_pb2_grpc.GRPCInferenceServiceStub(channel), png)
            for _ in range(100):
                await ask(False)

    stream = orjson.dumps({**TEXT, "stream": True})
    yield Row("forwarded text, 1 kB", post(orjson.dumps(SHORT), 500), uses_vectors=False)
    yield Row("forwarded image, 1 MB", post(long_body(), 60), uses_vectors=True)
    yield Row("token of a stream", post(stream, 50, _TOKENS), uses_vectors=False)
    yield Row("question, rendered image", post(orjson.dumps(IMAGE), 400), uses_vectors=False)
    yield Row("gRPC question, 200 kB", cost(over_one_channel, 100), uses_vectors=True)
