"""Construction of the gateway: the libraries that it loads, and when."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from typing import Any

import orjson
import pytest

from sarlens.bootstrap import images
from sarlens.bootstrap.gateway import open_gateway
from sarlens.settings import GrpcSettings, Settings, WorkerSettings
from support.workers.fake_worker import fake_worker

OPTIONAL = {
    "aiohttp",
    "boto3",
    "botocore.session",
    "grpc",
    "jinja2",
    "opentelemetry.sdk",
    "rasterio",
    "redis",
    "tritonclient",
}
"""Libraries that take 0.05 s and more to import, each of which some gateways never need."""
OPEN_GATEWAY = """
import asyncio, json, sys
import sarlens.server.server
from sarlens.bootstrap.gateway import open_gateway
from sarlens.settings import Settings

async def main():
    async with open_gateway(Settings.model_validate_json(sys.argv[1])):
        await asyncio.sleep(0.05)  # tasks run until they wait

asyncio.run(main())
print(json.dumps(sorted(sys.modules)))
"""
LOAD_LIBRARIES = """
import json, sys
from sarlens.imagery.service.libraries import load_libraries
load_libraries()
print(json.dumps(sorted(sys.modules)))
"""


def loaded(script: str, *arguments: str) -> set[str]:
    """Return which of the optional libraries a script has loaded in a separate process."""
    output = subprocess.run([sys.executable, "-c", script, *arguments], check=True, capture_output=True).stdout
    return OPTIONAL.intersection(orjson.loads(output.splitlines()[-1]))


@pytest.mark.parametrize(
    ("settings", "libraries"),
    [
        pytest.param({}, set(), id="none"),
        pytest.param({"https": {"hosts": ["example.com"]}}, {"aiohttp"}, id="https"),
        pytest.param({"worker": {"urls": ["kubernetes://ns/vllm:8000"]}}, {"aiohttp"}, id="kubernetes"),
        pytest.param({"grpc": {"port": 0}}, {"grpc", "tritonclient"}, id="grpc"),
        pytest.param({"keys": {"redis_url": "redis://127.0.0.1:9"}}, {"redis", "opentelemetry.sdk"}, id="redis"),
        pytest.param({"tracing": {"endpoint": "http://127.0.0.1:9"}}, {"opentelemetry.sdk"}, id="tracing"),
        pytest.param({"worker": {"urls": ["triton://127.0.0.1:9"]}}, {"grpc", "jinja2", "tritonclient"}, id="triton"),
    ],
)
def test_a_gateway_loads_the_libraries_that_its_settings_need(settings: dict[str, Any], libraries: set[str]) -> None:
    """A gateway without a ready worker loads an optional library only if a setting needs it."""
    document = {"grpc": {"port": None}, "worker": {"urls": ["http://127.0.0.1:9"]}, **settings}
    assert loaded(OPEN_GATEWAY, orjson.dumps(document).decode()) == libraries


def test_the_libraries_of_images_are_gdal_and_boto3() -> None:
    """``load_libraries`` loads what the first TIFF and the first ``s3://`` URL would load."""
    assert loaded(LOAD_LIBRARIES) == {"boto3", "botocore.session", "rasterio"}


async def test_a_ready_gateway_loads_the_libraries_of_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gateway loads the libraries of images once, after a worker has become ready, in another thread."""
    loop, loads = asyncio.get_running_loop(), asyncio.Queue[int]()
    monkeypatch.setattr(
        images, "load_libraries", lambda: loop.call_soon_threadsafe(loads.put_nowait, threading.get_ident())
    )
    async with fake_worker() as worker:
        settings = Settings(worker=WorkerSettings(urls=(worker.url,)), grpc=GrpcSettings(port=None))
        async with open_gateway(settings):
            assert await asyncio.wait_for(loads.get(), 60) != threading.get_ident()
    assert loads.empty()
