"""Aliases, fallbacks and the model ``auto``, over REST and gRPC's data plane."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import openai
import pytest
from rasterio.transform import Affine

from sarlens.settings import AdmissionSettings, KeysSettings, Settings, WorkerSettings
from support.gateway import gateway, until_ready
from support.georeferenced_scenes import geotiff
from support.workers.fake_worker import FakeWorker, fake_worker

PROFILES = """
[profiles.fine]
aliases = ["gpt-4o", "radar"]
size = 64
[[profiles.fine.acquisitions]]
platforms = ["iceye*"]
modes = ["spot*"]
[[profiles.fine.acquisitions]]
max_spacing_m = 2

[profiles.coarse]
size = 32
fallbacks = ["gone", "fine"]
[[profiles.coarse.acquisitions]]
min_spacing_m = 5
max_spacing_m = 25

[profiles.gone]
aliases = ["old"]
fallbacks = ["coarse"]
"""
QUESTION = "How many ships are in the image?"


def image(spacing_m: float | None, **tags: str) -> str:
    """Return a GeoTIFF as a data URL, without a georeference if the spacing is None."""
    place = {} if spacing_m is None else {"transform": Affine(spacing_m, 0, 500_000, 0, -spacing_m, 5_000_000)}
    without = {"crs": None, "transform": Affine.identity()} if spacing_m is None else place
    pixels = np.random.default_rng(0).integers(1, 900, (96, 96), np.uint16)
    tiff = geotiff(pixels, tags=tags, **without, blockxsize=16, blockysize=16)
    return f"data:image/tiff;base64,{base64.b64encode(tiff).decode()}"


@pytest.fixture
async def workers() -> AsyncIterator[dict[str, FakeWorker]]:
    """A worker for each of two models."""
    async with fake_worker(model="fine") as fine, fake_worker(model="coarse") as coarse:
        fine.says = coarse.says = lambda _: "3"
        yield {"fine": fine, "coarse": coarse}


@pytest.fixture
async def settings(tmp_path: Path, workers: dict[str, FakeWorker]) -> Settings:
    """Settings with both workers and the profiles."""
    path = tmp_path / "profiles.toml"
    path.write_text(PROFILES)
    urls = tuple(worker.url for worker in workers.values())
    admission = AdmissionSettings(queue_timeout_s=0.2)
    return Settings(worker=WorkerSettings(urls=urls), profiles=(path,), admission=admission)


@pytest.fixture
async def url(settings: Settings) -> AsyncIterator[str]:
    """A gateway in front of both workers."""
    async with gateway(settings) as base:
        await until_ready(base, 2)
        yield base


async def until_served(url: str, secrets: dict[str, str]) -> None:
    """Wait until the holder of each key finds its model."""
    async with asyncio.timeout(20), aiohttp.ClientSession() as http:
        for name, secret in secrets.items():
            while True:
                async with http.get(f"{url}/v1/models", headers={"Authorization": f"Bearer {secret}"}) as response:
                    if name in await response.text():
                        break
                await asyncio.sleep(0.02)


async def ask(url: str, model: str | None, picture: str, key: str = "") -> tuple[int, dict[str, Any]]:
    """Ask a question about an image."""
    body = {"model": model, "image": picture, "questions": [QUESTION]}
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with aiohttp.ClientSession(headers=headers) as http, http.post(f"{url}/v1/sar/vqa", json=body) as response:
        return response.status, await response.json()


async def chat(url: str, model: str, picture: str | None) -> Any:
    """Send a chat."""
    content: list[Any] = [{"type": "text", "text": QUESTION}]
    if picture is not None:
        content.append({"type": "image_url", "image_url": {"url": picture}})
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as sdk:
        return await sdk.chat.completions.create(model=model, messages=[{"role": "user", "content": content}])


@pytest.mark.parametrize(
    ("spacing_m", "tags", "model"),
    [
        (1.0, {}, "fine"),
        (10.0, {}, "coarse"),
        (10.0, {"SATELLITE_NAME": "('ICEYE-X7',)", "ACQUISITION_MODE": "spotlight"}, "fine"),
        (10.0, {"SATELLITE_NAME": "ICEYE-X7", "ACQUISITION_MODE": "stripmap"}, "coarse"),
    ],
)
async def test_auto_is_the_model_for_the_image(
    url: str, workers: dict[str, FakeWorker], spacing_m: float, tags: dict[str, str], model: str
) -> None:
    """The first profile whose acquisitions have the image decides, in tasks and chats; the response names the model."""
    picture = image(spacing_m, **tags)
    status, answer = await ask(url, "auto", picture)
    assert (status, answer["data"][0]["model"]) == (200, model)
    assert (await chat(url, "auto", picture)).model == model
    assert {name: len(worker.requests) for name, worker in workers.items()} == {
        name: 2 if name == model else 0 for name in workers
    }
    assert workers[model].requests[-1]["model"] == model


@pytest.mark.parametrize(("spacing_m", "says"), [(3.0, "pixel spacing 3 m"), (None, "pixel spacing unknown")])
async def test_an_image_that_no_profile_is_for(url: str, spacing_m: float | None, says: str) -> None:
    """The error says what is known about the image, and which models there are."""
    status, answer = await ask(url, "auto", image(spacing_m))
    assert (status, answer["error"]["param"]) == (400, "model")
    assert f"platform unknown, mode unknown, {says}. Name a model: coarse, fine." in answer["error"]["message"]
    with pytest.raises(openai.BadRequestError, match="requires an image"):
        await chat(url, "auto", None)


async def test_an_alias_stands_for_a_model(url: str, workers: dict[str, FakeWorker]) -> None:
    """Tasks and chats reach the model with its own name and size; the list of models has the alias."""
    status, answer = await ask(url, "gpt-4o", image(10.0))
    item = answer["data"][0]
    assert (status, item["model"], item["image"]["render"]["size"]) == (200, "fine", 64)
    assert (await chat(url, "radar", None)).model == "fine"
    assert [body["model"] for body in workers["fine"].requests] == ["fine", "fine"]
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none") as sdk:
        names = {model.id async for model in sdk.models.list()}
        assert names == {"fine", "coarse", "gpt-4o", "radar"}
        assert (await sdk.models.retrieve("gpt-4o")).id == "fine"


async def test_a_fallback_answers_for_a_model_that_is_not_served(url: str, settings: Settings) -> None:
    """The first fallback with a ready worker answers; without one, the error is that of the model."""
    status, answer = await ask(url, "gone", image(10.0))
    assert (status, answer["data"][0]["model"]) == (200, "coarse")
    assert (await chat(url, "old", None)).model == "coarse"
    alone = settings.model_copy(update={"worker": WorkerSettings(urls=settings.worker.urls[:1])})
    async with gateway(alone) as other:
        status, answer = await ask(other, "coarse", image(10.0))
        assert (status, answer["data"][0]["model"]) == (200, "fine")
        status, answer = await ask(other, "gone", image(10.0))
        assert (status, answer["error"]["code"]) == (404, "model_not_found")


async def test_a_key_limits_the_choice(settings: Settings, tmp_path: Path) -> None:
    """A key without a model gets neither its alias, nor it as a fallback or by auto; nor is another's image opened."""
    secrets = {"coarse": "sl-coarse-0123456789", "fine": "sl-fine-0123456789abc"}
    keys = [
        {"name": name, "sha256": sha256(secret.encode()).hexdigest(), "models": [name], "images": ["data:"]}
        for name, secret in secrets.items()
    ]
    (tmp_path / "keys.json").write_text(json.dumps(keys))
    with_keys = settings.model_copy(update={"keys": KeysSettings(file=tmp_path / "keys.json")})
    async with gateway(with_keys) as url:
        await until_served(url, secrets)
        for name, model, status, text in (
            ("coarse", "gpt-4o", 404, "'gpt-4o' isn't served"),
            ("coarse", "auto", 200, "coarse"),
            ("fine", "auto", 200, "fine"),
            ("fine", "gone", 404, "'gone' isn't served"),
        ):
            found, answer = await ask(url, model, image(10.0), secrets[name])
            assert (found, text in json.dumps(answer)) == (status, True), (name, model, answer)
        found, answer = await ask(url, "auto", "s3://secret/a.tif", secrets["fine"])
        assert (found, answer["error"]["code"]) == (403, "not_allowed")
