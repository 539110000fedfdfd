"""Images through the whole gateway: a real S3 server on one side, a worker on the other."""

from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import numpy as np
import pytest
import rasterio
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families
from rasterio.transform import from_origin

from sarlens.settings import S3Settings, Settings, WorkerSettings
from support.gateway import gateway
from support.s3 import S3Server
from support.sar_samples import SAMPLES
from support.workers.fake_worker import MODEL, FakeWorker


def geotiff(pixels: np.ndarray[Any, Any], names: tuple[str, ...] = (), **profile: Any) -> bytes:
    """A tiled GeoTIFF of (band, row, col) pixels, in memory."""
    count, height, width = pixels.shape
    shape = {"count": count, "height": height, "width": width, "dtype": pixels.dtype.name}
    place = {"crs": "EPSG:32631", "transform": from_origin(500_000, 5_700_000, 10, 10)}
    with rasterio.MemoryFile() as memory:
        with memory.open(
            driver="GTiff", tiled=True, blockxsize=256, blockysize=256, **shape, **place, **profile
        ) as scene:
            scene.write(pixels)
            scene.descriptions = names or (None,) * count
            scene.build_overviews([2, 4])
        return bytes(memory.read())


def scene(side: int = 1024) -> np.ndarray[Any, Any]:
    """Digital numbers of a speckled sea with one bright ship."""
    rng = np.random.default_rng(7)
    pixels = 60 * np.sqrt(rng.gamma(4, 0.25, (1, side, side)))
    pixels[:, side // 2 : side // 2 + side // 16, side // 4 : side // 4 + side // 8] *= 12
    return pixels.astype(np.uint16)


@pytest.fixture(scope="module")
def bucket(s3: S3Server) -> Any:
    """A client of the S3 server, whose bucket `scenes` has a scene."""
    client = s3.client()
    client.put_object(Bucket="scenes", Key="port.tif", Body=geotiff(scene()))
    return client


@pytest.fixture
async def base(s3: S3Server, worker: FakeWorker, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """A gateway between the S3 server and the fake worker."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3.secret_key)
    settings = Settings(worker=WorkerSettings(urls=(worker.url,)), s3=S3Settings(endpoint=s3.endpoint))
    async with gateway(settings) as url:
        yield url


async def ask(base: str, url: str, sar: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
    """Ask about one image and return status and response."""
    image: dict[str, Any] = {"url": url} | ({"sar": sar} if sar else {})
    content = [{"type": "image_url", "image_url": image}, {"type": "text", "text": "How many ships?"}]
    body = {"model": MODEL, "messages": [{"role": "user", "content": content}]}
    async with aiohttp.ClientSession() as session, session.post(f"{base}/v1/chat/completions", json=body) as response:
        return response.status, await response.json()


def rendered_for(worker: FakeWorker) -> Image.Image:
    """The image that the worker received last."""
    url = worker.requests[-1]["messages"][0]["content"][0]["image_url"]["url"]
    head, data = url.split(",", 1)
    assert head == "data:image/png;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))


async def metric(base: str, name: str, **labels: str) -> float:
    """The value of one metric."""
    async with aiohttp.ClientSession() as session, session.get(f"{base}/metrics") as response:
        page = await response.text()
    return sum(
        sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


async def test_a_scene_in_s3_is_rendered_for_the_worker(base: str, bucket: Any, worker: FakeWorker) -> None:
    """The worker gets a gray image of the size that its model sees, with the ship bright in it."""
    status, answer = await ask(base, "s3://scenes/port.tif")
    assert status == 200, answer
    image = rendered_for(worker)
    assert (image.mode, image.size) == ("L", (256, 256))
    gray = np.asarray(image)
    assert gray[130:142, 68:92].mean() > 250
    assert gray[:114].mean() < 150
    part = worker.requests[-1]["messages"][0]["content"][0]
    assert "sar" not in part["image_url"]
    assert len(part["uuid"]) == 64


async def test_an_image_is_rendered_once(base: str, bucket: Any, worker: FakeWorker) -> None:
    """Forty questions about one image at the same time fetch, decode and render it once."""
    answers = await asyncio.gather(*(ask(base, "s3://scenes/port.tif") for _ in range(40)))
    assert {status for status, _ in answers} == {200}
    assert await metric(base, "sarlens_stage_duration_seconds_count", stage="render") == 1
    assert worker.shown == 1


async def test_a_cached_image_fetches_no_bytes(base: str, bucket: Any) -> None:
    """The second question about an image fetches no bytes from the store and sends none to the worker."""
    await ask(base, "s3://scenes/port.tif")
    fetched = await metric(base, "sarlens_fetched_bytes_total", scheme="s3")
    assert fetched > 0
    await ask(base, "s3://scenes/port.tif")
    assert await metric(base, "sarlens_fetched_bytes_total", scheme="s3") == fetched
    assert await metric(base, "sarlens_pictures_sent_total", form="id") == 1


async def test_a_new_version_is_rendered(base: str, bucket: Any, worker: FakeWorker) -> None:
    """After an object is replaced, the next question gets the new version."""
    bucket.put_object(Bucket="scenes", Key="changing.tif", Body=geotiff(scene()))
    await ask(base, "s3://scenes/changing.tif")
    bucket.put_object(Bucket="scenes", Key="changing.tif", Body=geotiff(scene()[:, ::-1]))
    await asyncio.sleep(1.1)
    await ask(base, "s3://scenes/changing.tif")
    first, second = (body["messages"][0]["content"][0]["uuid"] for body in worker.requests)
    assert first != second


async def test_a_window_has_the_requested_size(base: str, bucket: Any, worker: FakeWorker) -> None:
    """A window of 128 x 64 pixels at size 64 is rendered as 64 x 32."""
    status, answer = await ask(
        base, "s3://scenes/port.tif", {"window": [256, 512, 128, 64], "size": 64, "filter": "none"}
    )
    assert status == 200, answer
    assert rendered_for(worker).size == (64, 32)


async def test_an_8_bit_image_is_forwarded_unchanged(base: str, bucket: Any, worker: FakeWorker) -> None:
    """A small PNG reaches the worker as the same bytes."""
    buffer = io.BytesIO()
    Image.effect_noise((100, 80), 50).save(buffer, "png")
    bucket.put_object(Bucket="scenes", Key="small.png", Body=buffer.getvalue())
    await ask(base, "s3://scenes/small.png")
    sent = worker.requests[-1]["messages"][0]["content"][0]["image_url"]["url"]
    assert base64.b64decode(sent.split(",")[1]) == buffer.getvalue()


async def test_the_preview_is_the_rendered_image(base: str, bucket: Any) -> None:
    """The image that the model sees is available as a preview."""
    query = {"url": "s3://scenes/port.tif", "window": "0,0,512,512", "filter": "lee", "stretch": "1,99", "size": "100"}
    async with aiohttp.ClientSession() as session, session.get(f"{base}/v1/sar/picture", params=query) as response:
        assert response.status == 200, await response.text()
        assert Image.open(io.BytesIO(await response.read())).size == (100, 100)


@pytest.mark.parametrize(
    ("tags", "status"), [("{etag}", 304), ('"other", W/{etag}', 304), ("*", 304), ('"other"', 200), ("{etag}x", 200)]
)
async def test_a_known_preview_is_not_sent_again(base: str, bucket: Any, tags: str, status: int) -> None:
    """With the entity tag of the image in ``If-None-Match``, the response is 304 without a body, before rendering."""
    query = {"url": "s3://scenes/port.tif", "size": "90"}
    async with aiohttp.ClientSession() as session:
        async with session.head(f"{base}/v1/sar/picture", params=query) as response:
            etag = response.headers["ETag"]
        headers = {"If-None-Match": tags.format(etag=etag)}
        async with session.get(f"{base}/v1/sar/picture", params=query, headers=headers) as response:
            assert (response.status, response.headers["ETag"]) == (status, etag)
            assert bool(await response.read()) == (status == 200)


TRUNCATED = geotiff(scene())[:40_000]
VRT = b"""<VRTDataset rasterXSize="10" rasterYSize="10"><VRTRasterBand dataType="Byte" band="1"><SimpleSource>
<SourceFilename relativeToVRT="0">/etc/passwd</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>"""


def huge() -> bytes:
    """A sparse TIFF of some kilobytes that declares 100,000 x 100,000 pixels."""
    shape = {"count": 1, "height": 100_000, "width": 100_000, "dtype": "uint16"}
    with rasterio.MemoryFile() as memory:
        with memory.open(driver="GTiff", tiled=True, blockxsize=4096, blockysize=4096, sparse_ok=True, **shape):
            pass
        return bytes(memory.read())


@pytest.mark.parametrize(
    ("key", "body", "sar", "status", "code"),
    [
        ("missing.tif", None, None, 404, "image_not_found"),
        ("truncated.tif", TRUNCATED, None, 400, "unsupported_image"),
        ("huge.tif", huge(), None, 413, "too_large"),
        ("vrt.tif", VRT, None, 400, "unsupported_image"),
        ("text.tif", b"hello" * 100, None, 400, "unsupported_image"),
        ("empty.tif", b"", None, 400, "unsupported_image"),
        ("port.tif", None, {"window": [0, 0, 0, 0]}, 400, "window_outside"),
        ("port.tif", None, {"window": [1000, 1000, 100, 100]}, 400, "window_outside"),
        ("port.tif", None, {"window": [-1, 0, 10, 10]}, 400, "window_outside"),
        ("port.tif", None, {"bands": ["HV"]}, 400, "band_missing"),
        ("port.tif", None, {"bands": [2]}, 400, "band_missing"),
    ],
)
async def test_an_invalid_image_is_rejected(
    base: str, bucket: Any, key: str, body: bytes | None, sar: dict[str, Any] | None, status: int, code: str
) -> None:
    """An invalid image is rejected with its code and without local paths, and the next request works."""
    if body is not None:
        bucket.put_object(Bucket="scenes", Key=key, Body=body)
    returned, answer = await ask(base, f"s3://scenes/{key}", sar)
    assert (returned, answer["error"]["code"]) == (status, code), answer
    message = answer["error"]["message"]
    assert not any(word in message for word in ("passwd", "/vsi", "/tmp", "Traceback", "test-secret"))
    assert (await ask(base, "s3://scenes/port.tif"))[0] == 200


async def test_a_missing_bucket_is_not_found(base: str, bucket: Any) -> None:
    """A bucket that doesn't exist is a 404."""
    status, answer = await ask(base, "s3://no-such-bucket/port.tif")
    assert (status, answer["error"]["code"]) == (404, "image_not_found")


async def test_wrong_credentials_are_a_bad_gateway(
    s3: S3Server, bucket: Any, worker: FakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that rejects the gateway's credentials is a 502 that contains no key."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very-wrong-secret")
    settings = Settings(worker=WorkerSettings(urls=(worker.url,)), s3=S3Settings(endpoint=s3.endpoint))
    async with gateway(settings) as base:
        status, answer = await ask(base, "s3://scenes/port.tif")
    assert (status, answer["error"]["code"]) == (502, "store_credentials")
    assert "wrong-secret" not in str(answer)
    assert s3.access_key not in str(answer)


async def test_an_unreachable_store_is_a_bad_gateway(worker: FakeWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store at which nothing listens is a 502 within the time limit."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    s3 = S3Settings(endpoint="http://127.0.0.1:9", request_timeout_s=10)
    async with gateway(Settings(worker=WorkerSettings(urls=(worker.url,)), s3=s3)) as base, asyncio.timeout(10):
        status, answer = await ask(base, "s3://scenes/port.tif")
    assert (status, answer["error"]["code"]) == (502, "source_unavailable")


@pytest.mark.samples
@pytest.mark.skipif(not SAMPLES.exists(), reason="the real Sentinel-1 files are not here")
@pytest.mark.parametrize(
    ("name", "sar"),
    [
        ("riotiler_s1_iw_grd_cog_gcps.tif", None),
        ("S1A__IW___A_20150309T173017_VV_grd_mli_geo_norm_db.tif", None),
        ("terramesh_s1rtc_38D_378R_2_3.tif", None),
        ("terramesh_s1rtc_38D_378R_2_3.tif", {"bands": [1, 2]}),
    ],
)
@pytest.mark.slow
async def test_a_real_worker_answers_about_real_radar_images(
    s3: S3Server, bucket: Any, vllm_url: str, name: str, sar: dict[str, Any] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Real Sentinel-1 files, from digital numbers to decibels with nodata, are answered by a real vLLM."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3.secret_key)
    bucket.upload_file(str(SAMPLES / name), "scenes", name)
    settings = Settings(worker=WorkerSettings(urls=(vllm_url,)), s3=S3Settings(endpoint=s3.endpoint))
    async with gateway(settings) as base:
        status, answer = await ask(base, f"s3://scenes/{name}", sar)
    assert status == 200, answer
    assert answer["usage"]["prompt_tokens"] > 64
