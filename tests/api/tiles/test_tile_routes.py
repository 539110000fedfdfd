"""Scenes, tiles and TileJSON over REST, of images in data: URLs."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
from PIL import Image
from pyproj import Transformer
from rasterio.transform import Affine

from sarlens.admission.api_keys import generate_api_key
from sarlens.settings import KeysSettings, Settings, WorkerSettings
from support.gateway import gateway
from support.georeferenced_scenes import geotiff
from support.workers.fake_worker import FakeWorker

SIDE = 64
AFFINE = Affine(10, 0, 500_000, 0, -10, 5_000_000)


def data_url(pixels: Any, **more: Any) -> str:
    """A data: URL of a GeoTIFF."""
    tiff = geotiff(pixels, blockxsize=64, blockysize=64, **more)
    return f"data:image/tiff;base64,{base64.b64encode(tiff).decode()}"


@pytest.fixture(scope="module")
def scene() -> str:
    """A scene of 64 x 64 pixels of 10 m in UTM 31, with a bright square."""
    pixels = np.random.default_rng(1).integers(90, 110, (SIDE, SIDE)).astype(np.uint16)
    pixels[20:24, 40:44] = 900
    return data_url(pixels)


async def call(endpoint: str, headers: dict[str, str] | None = None, /, **query: str) -> tuple[int, bytes, Any]:
    """Status, body and headers of an answer."""
    async with aiohttp.ClientSession(headers=headers) as http, http.get(endpoint, params=query) as response:
        return response.status, await response.read(), response.headers


async def test_a_scene_says_where_it_is_and_how_to_look_at_it(url: str, scene: str) -> None:
    """Size, CRS, bounds, pixel size, bands, calibrations and tile matrix sets of a scene in UTM 31."""
    status, body, _ = await call(f"{url}/v1/sar/scene", url=scene)
    found = json.loads(body)
    assert status == 200, body
    assert (found["width"], found["height"], found["crs"], found["placement"]) == (SIDE, SIDE, "EPSG:32631", "affine")
    lon, lat = Transformer.from_crs(32631, 4326, always_xy=True).transform(
        [500_000, 500_640, 500_640, 500_000], [5_000_000, 5_000_000, 4_999_360, 4_999_360]
    )
    assert found["bounds"] == pytest.approx([min(lon), min(lat), max(lon), max(lat)], abs=1e-7)
    assert found["footprint"]["type"] == "Polygon"
    assert found["pixel_size_m"] == pytest.approx([10.0, 10.0], rel=2e-3)
    assert (found["bands"], found["calibrations"], found["swaths"], found["overviews"]) == (["1"], ["none"], [], [])
    assert found["data_type"] == "uint16"
    assert found["tile_matrix_sets"] == ["WebMercatorQuad", "pixels"]
    assert found["max_zoom"] == {"WebMercatorQuad": 14, "pixels": 0}
    assert found["acquisition"] == {"time": None, "orbit_direction": None, "mode": None, "looks": None}
    assert found["tile"] == {"sarlens-nano": 256}
    mesh = found["mesh"]
    assert mesh["cols"] == mesh["rows"] == [4 * i for i in range(17)]
    east, south = np.meshgrid(500_000 + 40.0 * np.arange(17), 5_000_000 - 40.0 * np.arange(17))
    lonlat = Transformer.from_crs(32631, 4326, always_xy=True).transform(east, south)
    assert np.abs(np.array(mesh["lonlat"]) - np.stack(lonlat, axis=-1)).max() < 1e-8


async def test_a_tile_is_transparent_outside_the_scene_and_is_not_sent_twice(url: str, scene: str) -> None:
    """The tile of TileJSON's center shows the scene; with its ETag, the answer is 304 without a body."""
    status, body, _ = await call(f"{url}/v1/sar/tilejson.json", url=scene)
    assert status == 200, body
    tilejson = json.loads(body)
    assert tilejson["tilejson"] == "3.0.0"
    assert tilejson["tiles"][0].startswith(f"{url}/v1/sar/tiles/{{z}}/{{x}}/{{y}}?url=data")
    zoom = tilejson["maxzoom"]
    lon, lat = tilejson["center"][:2]
    x = int((lon + 180) / 360 * 2**zoom)
    y = int((1 - np.arcsinh(np.tan(np.radians(lat))) / np.pi) / 2 * 2**zoom)
    endpoint = f"{url}/v1/sar/tiles/{zoom}/{x}/{y}"
    status, png, headers = await call(endpoint, url=scene)
    assert (status, headers["Content-Type"], headers["Cache-Control"]) == (200, "image/png", "public, max-age=300")
    image = Image.open(io.BytesIO(png))
    alpha = np.asarray(image.getchannel("A"))
    assert (image.mode, image.size, set(np.unique(alpha))) == ("LA", (256, 256), {0, 255})
    status, empty, again = await call(endpoint, {"If-None-Match": headers["ETag"]}, url=scene)
    assert (status, empty, again["ETag"]) == (304, b"", headers["ETag"])
    status, far, _ = await call(f"{url}/v1/sar/tiles/WebMercatorQuad/{zoom}/0/0", url=scene)
    assert (status, np.asarray(Image.open(io.BytesIO(far)).getchannel("A")).max()) == (200, 0)


async def test_a_scene_without_position_has_tiles_of_its_pixels(url: str) -> None:
    """Zoom level 1 of 300 x 300 pixels is the full resolution: each pixel of the tile is a pixel of the image."""
    pixels = np.full((300, 300), 100, np.uint16)
    pixels[10, 290] = 4000
    flat = data_url(pixels, crs=None, transform=Affine.identity())
    status, body, _ = await call(f"{url}/v1/sar/scene", url=flat)
    found = json.loads(body)
    assert (status, found["tile_matrix_sets"], found["max_zoom"]) == (200, ["pixels"], {"pixels": 1})
    assert [found[name] for name in ("crs", "placement", "footprint", "bounds", "pixel_size_m")] == [None] * 5
    query: dict[str, str] = {"url": flat, "preset": "plain", "stretch": "0,100"}
    status, png, _ = await call(f"{url}/v1/sar/tiles/pixels/1/1/0", **query)
    tile = np.asarray(Image.open(io.BytesIO(png)))
    assert status == 200
    assert np.argwhere(tile[..., 0] == 255).tolist() == [[10, 290 - 256]]
    assert (tile[..., 1] == 255).sum() == 256 * (300 - 256)
    status, body, _ = await call(f"{url}/v1/sar/tiles/1/1/0", **query)
    assert (status, json.loads(body)["error"]["code"]) == (400, "not_georeferenced")


@pytest.mark.parametrize(
    ("path", "status", "param"),
    [("WebMercatorQuad/3/8/0", 400, "x"), ("WebMercatorQuad/25/0/0", 400, "z"), ("Mars/0/0/0", 404, None)],
)
async def test_a_tile_that_does_not_exist_is_refused(
    url: str, scene: str, path: str, status: int, param: str | None
) -> None:
    """A column beyond the tile matrix, a zoom level beyond the set, and an unknown set."""
    found, body, _ = await call(f"{url}/v1/sar/tiles/{path}", url=scene)
    assert (found, json.loads(body)["error"]["param"]) == (status, param)


async def test_a_key_opens_only_its_images_and_pays_little_for_a_tile(
    worker: FakeWorker, scene: str, tmp_path: Path
) -> None:
    """Without a key the answer is 401, for another image 403, and a limit of two requests allows forty tiles."""
    secret, digest = generate_api_key()
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps([{"name": "a", "sha256": digest, "images": ["data:"], "requests_per_minute": 2}]))
    bearer = {"Authorization": f"Bearer {secret}"}
    settings = Settings(worker=WorkerSettings(urls=(worker.url,)), keys=KeysSettings(file=keys))
    routes = ("scene", "tilejson.json", "statistics", "point", "tiles", "tiles/pixels", "tiles/pixels/0/0/0")
    async with gateway(settings) as base:
        for route in routes:
            assert (await call(f"{base}/v1/sar/{route}", url=scene))[0] == 401, route
            query = {"url": "s3://scenes/x.tif", "x": "0", "y": "0"}
            assert (await call(f"{base}/v1/sar/{route}", bearer, **query))[0] == 403, route
        statuses = [(await call(f"{base}/v1/sar/tiles/pixels/0/0/0", bearer, url=scene))[0] for _ in range(44)]
        assert 40 <= statuses.count(200) <= 42
        assert statuses[-1] == 429
        status, _, headers = await call(f"{base}/tileMatrixSets")
        assert (status, headers["Content-Type"]) == (200, "application/json")


async def test_head_answers_as_get_without_a_body(url: str, scene: str) -> None:
    """HEAD has the headers of GET."""
    async with aiohttp.ClientSession() as http:
        endpoint = f"{url}/v1/sar/tiles/pixels/0/0/0"
        async with http.head(endpoint, params={"url": scene}) as head:
            assert (head.status, await head.read()) == (200, b"")
        _, _, headers = await call(endpoint, url=scene)
        assert head.headers["ETag"] == headers["ETag"]
