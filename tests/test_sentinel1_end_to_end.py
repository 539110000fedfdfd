"""Sentinel-1 products in a bucket, over HTTP: previews, typed answers, surveys and access rules."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from sarlens.admission.api_keys import generate_api_key
from sarlens.settings import KeysSettings, S3Settings, Settings, WorkerSettings
from support.gateway import gateway
from support.s3 import S3Server
from support.sentinel1_safe import small_product
from support.sicd import LAT, LON, sicd
from support.workers.fake_worker import FakeWorker

NAME = "S1A_IW_GRDH_1SDV_20210119T031653_COG.SAFE"
SAFE = f"s3://scenes/{NAME}"


@pytest.fixture(scope="module")
def product(s3: S3Server) -> dict[str, bytes]:
    """A product with two polarizations in the bucket, by the paths of its files."""
    images = {
        f"iw-grd-{band}": np.random.default_rng(at).integers(100, 999, (300, 400)).astype(np.uint16)
        for at, band in enumerate(("vh", "vv"))
    }
    files = small_product(images, cog=True)
    for path, data in files.items():
        s3.client().put_object(Bucket="scenes", Key=f"{NAME}/{path}", Body=data)
    return files


@pytest.fixture
def settings(s3: S3Server, worker: FakeWorker, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A gateway before the fake worker and the real store."""
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    return Settings(worker=WorkerSettings(urls=(worker.url,)), s3=S3Settings(endpoint=s3.endpoint))


@pytest.fixture
async def base(settings: Settings) -> AsyncIterator[str]:
    """The gateway's address."""
    async with gateway(settings) as url:
        yield url


async def call(endpoint: str, body: Any = None, key: str | None = None, **query: str) -> tuple[int, bytes, Any]:
    """Status, body and headers of an answer."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with (
        aiohttp.ClientSession(headers=headers) as http,
        http.request("GET" if body is None else "POST", endpoint, json=body, params=query) as response,
    ):
        return response.status, await response.read(), response.headers


def channels(png: bytes) -> NDArray[np.uint8]:
    """Red, green and blue of an image (channel, row, col)."""
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).transpose(2, 0, 1)


async def test_polarizations_of_a_product_are_rendered(base: str, product: dict[str, bytes]) -> None:
    """VV, VH and their composite: red and green are what each is alone, and blue is their ratio."""
    common = {"url": SAFE, "filter": "none", "calibration": "sigma0"}
    seen = {}
    for bands in ("VV", "VH", "VV,VH", "VV,VH,VV"):
        status, png, headers = await call(f"{base}/v1/sar/picture", **common, bands=bands)
        assert status == 200, png
        assert headers["Sarlens-Radiometry"] == "sigma0"
        seen[bands] = channels(png)
    red, green, blue = seen["VV,VH"]
    np.testing.assert_array_equal(red, seen["VV"][0])
    np.testing.assert_array_equal(green, seen["VH"][0])
    assert abs(np.corrcoef(blue.ravel(), red.astype(float).ravel() - green.ravel())[0, 1]) > 0.9
    np.testing.assert_array_equal(seen["VV,VH,VV"][2], seen["VV"][0])


async def test_looks_change_the_aspect_ratio(base: str, product: dict[str, bytes]) -> None:
    """Four looks along a row make the image four times narrower under another id; invalid looks are rejected."""
    _, _, plain = await call(f"{base}/v1/sar/picture", url=SAFE)
    status, png, headers = await call(f"{base}/v1/sar/picture", url=SAFE, looks="4,1", bands="VH", size="300")
    assert (status, channels(png).shape, headers["Sarlens-Radiometry"]) == (200, (3, 300, 100), "relative")
    assert headers["ETag"] != plain["ETag"]
    for looks in ("0,1", "4", "x,y", "65,1"):
        assert (await call(f"{base}/v1/sar/picture", url=SAFE, looks=looks))[0] == 400


async def test_missing_bands_and_swaths_are_listed(base: str, product: dict[str, bytes]) -> None:
    """Another polarization or swath is rejected with a list of those that exist."""
    for query, expected in (({"bands": "HH"}, "VV, VH"), ({"swath": "IW2"}, "IW")):
        status, answer, _ = await call(f"{base}/v1/sar/picture", url=SAFE, **query)
        assert status == 400
        assert expected in json.loads(answer)["error"]["message"]
    assert (await call(f"{base}/v1/sar/picture", url="s3://scenes/none.SAFE"))[0] == 404


async def test_answers_have_the_radiometry(base: str, product: dict[str, bytes]) -> None:
    """Typed answers have the backscatter coefficient, or that the image is relative."""
    for sar, expected in (({"calibration": "gamma0"}, "gamma0"), ({}, "relative")):
        body = {"image": {"url": f"{SAFE}/", "sar": sar | {"bands": ["VV", "VH"]}}, "questions": ["Ships?"]}
        status, answer, _ = await call(f"{base}/v1/sar/vqa", body)
        assert status == 200, answer
        assert json.loads(answer)["data"][0]["image"]["radiometry"] == expected


async def test_a_product_is_surveyed(base: str, product: dict[str, bytes], worker: FakeWorker) -> None:
    """Tiles of a composite, calibrated and averaged over looks, are the images of their previews, under secret ids."""
    sar = {"bands": ["VV", "VH"], "calibration": "beta0", "looks": [2, 1]}
    body = {"image": {"url": SAFE, "sar": sar}, "questions": ["How many ships are in the image?"], "tile": 128}
    status, answer, _ = await call(f"{base}/v1/sar/surveys", body)
    assert status == 200, answer
    features = json.loads(answer)["features"]
    assert {feature["properties"]["radiometry"] for feature in features} == {"beta0"}
    assert {feature["properties"]["image"] for feature in features} == {f"{SAFE}/"}
    assert len(features) == 12
    contents = (request["messages"][0]["content"] for request in worker.requests)
    parts = [part for content in contents for part in content if "uuid" in part]
    query = {"bands": "VV,VH", "calibration": "beta0", "looks": "2,1", "window": "128,128,128,128"}
    _, png, headers = await call(f"{base}/v1/sar/picture", url=SAFE, **query)
    assert channels(png).shape == (3, 128, 64)
    assert f"data:image/png;base64,{base64.b64encode(png).decode()}" in {part["image_url"]["url"] for part in parts}
    assert headers["ETag"].strip('"') not in {part["uuid"] for part in parts}


async def test_a_sicd_in_a_bucket_is_rendered(base: str, s3: S3Server) -> None:
    """A window of a NITF by bbox, calibrated by its polynomial, is read by ranges."""
    random = np.random.default_rng(0)
    samples = random.normal(size=(300, 400)) + 1j * random.normal(size=(300, 400))
    data = sicd(samples, factors={"sigma0": np.array([[1e-4]])})
    s3.client().put_object(Bucket="scenes", Key="umbra.nitf", Body=data)
    query = {"url": "s3://scenes/umbra.nitf", "calibration": "sigma0"}
    status, png, headers = await call(f"{base}/v1/sar/picture", **query, window="100,50,200,100")
    assert (status, headers["Sarlens-Radiometry"], channels(png).shape[1:]) == (200, "sigma0", (100, 200)), png
    by_pixel, bbox = headers["ETag"], f"{LON - 1e-4},{LAT - 1e-4},{LON + 1e-4},{LAT + 1e-4}"
    status, png, headers = await call(f"{base}/v1/sar/picture", **query, bbox=bbox)
    assert (status, headers["ETag"] != by_pixel) == (200, True), png
    status, answer, _ = await call(
        f"{base}/v1/sar/surveys", {"image": query["url"], "questions": ["Ships?"], "tile": 128}
    )
    assert (status, len(json.loads(answer)["features"])) == (200, 12), answer


async def test_a_key_must_allow_all_files_of_a_rendering(
    settings: Settings, product: dict[str, bytes], tmp_path: Path
) -> None:
    """A key for one measurement allows it uncalibrated; its annotation and the product need their own rules."""
    file = next(f"{SAFE}/{path}" for path in product if "measurement" in path)
    opened = {"file": [file], "pixels": [f"{SAFE}/measurement"], "all": [SAFE], "slash": [f"{SAFE}/"]}
    issued = {name: generate_api_key() for name in opened}
    path = tmp_path / "keys.json"
    path.write_text(json.dumps([{"name": n, "sha256": issued[n][1], "images": opened[n]} for n in opened]))
    locked = settings.model_copy(update={"keys": KeysSettings(file=path)})
    async with gateway(locked) as base:
        for name, (secret, _) in issued.items():
            whole = name in {"all", "slash"}
            for query, allowed in (
                ({"url": file}, True),
                ({"url": file, "calibration": "sigma0"}, whole),
                ({"url": SAFE}, whole),
                ({"url": f"{SAFE}/manifest.safe"}, whole),
                ({"url": f"{SAFE}/../other.SAFE"}, False),
            ):
                status, answer, _ = await call(f"{base}/v1/sar/picture", key=secret, **query)
                assert (status == 200) == allowed, (name, query, answer)
            sar = {"calibration": "sigma0"}
            content = [
                {"type": "image_url", "image_url": {"url": file, "sar": sar}},
                {"type": "text", "text": "Ships?"},
            ]
            for route, body in (
                ("/v1/sar/vqa", {"image": {"url": file, "sar": sar}, "questions": ["Ships?"]}),
                ("/v1/chat/completions", {"messages": [{"role": "user", "content": content}]}),
                ("/v1/sar/surveys", {"image": {"url": file, "sar": sar}, "questions": ["Ships?"]}),
            ):
                status, answer, _ = await call(f"{base}{route}", body, secret)
                assert status == (200 if whole else 403), (name, route, answer)
