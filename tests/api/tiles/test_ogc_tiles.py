"""OGC API - Tiles: tile matrix sets, tilesets of a scene, and clients that open them."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
import rasterio
import rasterio.warp
from rasterio.transform import Affine

from sarlens.api.ogc.landing import CONFORMS_TO
from support.georeferenced_scenes import geotiff

SIDE = 64


def data_url(pixels: Any, **more: Any) -> str:
    """A data: URL of a GeoTIFF."""
    tiff = geotiff(pixels, blockxsize=64, blockysize=64, **more)
    return f"data:image/tiff;base64,{base64.b64encode(tiff).decode()}"


@pytest.fixture(scope="module")
def scene() -> str:
    """A ramp of 64 x 64 pixels in UTM 31."""
    return data_url(np.tile(np.linspace(20, 900, SIDE), (SIDE, 1)).astype(np.uint16))


async def get(endpoint: str, **query: str) -> tuple[int, Any]:
    """Status and document of an answer."""
    async with aiohttp.ClientSession() as http, http.get(endpoint, params=query) as response:
        return response.status, json.loads(await response.read())


async def test_tile_matrix_sets_are_those_of_ogc(url: str) -> None:
    """Three sets with their definitions; the cell size of Web Mercator's first level is the equator in 256 pixels."""
    _, listed = await get(f"{url}/tileMatrixSets")
    names = [found["id"] for found in listed["tileMatrixSets"]]
    assert names == ["WebMercatorQuad", "UPSArcticWGS84Quad", "UPSAntarcticWGS84Quad"]
    status, mercator = await get(listed["tileMatrixSets"][0]["links"][0]["href"])
    assert (status, mercator["crs"]) == (200, "http://www.opengis.net/def/crs/EPSG/0/3857")
    assert mercator["tileMatrices"][0]["cellSize"] == pytest.approx(2 * np.pi * 6_378_137 / 256)
    assert "http://www.opengis.net/spec/ogcapi-tiles-1/1.0/conf/core" in CONFORMS_TO
    assert (await get(f"{url}/tileMatrixSets/Mars"))[0] == 404


async def test_a_tileset_has_the_limits_of_the_scene_and_a_template(url: str, scene: str) -> None:
    """Every tile inside the limits of the highest level has a pixel of the scene, and the template leads to it."""
    status, found = await get(f"{url}/v1/sar/tiles", url=scene)
    assert (status, len(found["tilesets"])) == (200, 2)
    _, tileset = await get(found["tilesets"][0]["links"][0]["href"])
    assert (tileset["dataType"], tileset["tileMatrixSetURI"].rpartition("/")[2]) == ("map", "WebMercatorQuad")
    template = next(link["href"] for link in tileset["links"] if link["rel"] == "item")
    limits = tileset["tileMatrixSetLimits"][-1]
    assert limits["tileMatrix"] == "14"
    async with aiohttp.ClientSession() as http:
        for row in range(limits["minTileRow"], limits["maxTileRow"] + 1):
            for col in range(limits["minTileCol"], limits["maxTileCol"] + 1):
                names = {"{tileMatrix}": "14", "{tileCol}": str(col), "{tileRow}": str(row)}
                tile_url = template
                for name, value in names.items():
                    tile_url = tile_url.replace(name, value)
                async with http.get(tile_url) as response:
                    data = await response.read()
                with rasterio.MemoryFile(data) as file, file.open() as image:
                    assert image.read(2).max() == 255
    _, pixels = await get(found["tilesets"][1]["links"][0]["href"])
    assert pixels["tileMatrixSet"]["tileMatrices"][-1]["cellSize"] == 1.0
    assert pixels["tileMatrixSetLimits"] == [
        {"tileMatrix": "0", "minTileRow": 0, "maxTileRow": 0, "minTileCol": 0, "maxTileCol": 0}
    ]


async def test_a_polar_scene_has_polar_tiles(url: str) -> None:
    """A scene around the North Pole: bounds of the cap, and tiles of UPSArcticWGS84Quad."""
    transform = Affine(1000, 0, 2_000_000 - 32_000, 0, -1000, 2_000_000 + 32_000)
    pixels = np.random.default_rng(0).integers(50, 90, (SIDE, SIDE)).astype(np.uint16)
    pole = data_url(pixels, crs="EPSG:5041", transform=transform)
    status, found = await get(f"{url}/v1/sar/scene", url=pole)
    assert status == 200, found
    assert (found["footprint"]["type"], found["crs"]) == ("Polygon", "EPSG:5041")
    assert found["bounds"][::2] == [-180, 180]
    assert (89.5 < found["bounds"][1] < 90, found["bounds"][3]) == (True, 90)
    assert found["tile_matrix_sets"] == ["UPSArcticWGS84Quad", "pixels"]
    zoom = found["max_zoom"]["UPSArcticWGS84Quad"]
    _, tileset = await get(f"{url}/v1/sar/tiles/UPSArcticWGS84Quad", url=pole)
    limits = tileset["tileMatrixSetLimits"][-1]
    endpoint = f"{url}/v1/sar/tiles/UPSArcticWGS84Quad/{zoom}/{limits['minTileCol']}/{limits['minTileRow']}"
    async with aiohttp.ClientSession() as http, http.get(endpoint, params={"url": pole}) as response:
        data = await response.read()
    with rasterio.MemoryFile(data) as file, file.open() as image:
        assert image.read(2).max() == 255


@pytest.mark.skipif(shutil.which("gdal_translate") is None, reason="needs the programs of GDAL")
async def test_gdal_opens_the_tiles_by_their_template(url: str, scene: str, tmp_path: Path) -> None:
    """GDAL's TMS driver reads the scene as one raster in Web Mercator; where it is opaque, the ramp rises."""
    _, tilejson = await get(f"{url}/v1/sar/tilejson.json", url=scene)
    template = tilejson["tiles"][0].replace("{z}", "${z}").replace("{x}", "${x}").replace("{y}", "${y}")
    half = 20037508.342789244
    service = tmp_path / "scene.xml"
    service.write_text(
        f"""<GDAL_WMS><Service name="TMS"><ServerUrl>{template.replace("&", "&amp;")}</ServerUrl></Service>
        <DataWindow><UpperLeftX>{-half}</UpperLeftX><UpperLeftY>{half}</UpperLeftY><LowerRightX>{half}</LowerRightX>
        <LowerRightY>{-half}</LowerRightY><TileLevel>{tilejson["maxzoom"]}</TileLevel><TileCountX>1</TileCountX>
        <TileCountY>1</TileCountY><YOrigin>top</YOrigin></DataWindow><Projection>EPSG:3857</Projection>
        <BlockSizeX>256</BlockSizeX><BlockSizeY>256</BlockSizeY><BandsCount>2</BandsCount></GDAL_WMS>"""
    )
    west, south, east, north = rasterio.warp.transform_bounds(
        "EPSG:32631", "EPSG:3857", 500_000, 4_999_360, 500_640, 5_000_000
    )
    out = tmp_path / "scene.tif"
    window = [str(number) for number in (west, north, east, south)]
    command = ["gdal_translate", "-q", "-projwin", *window, str(service), str(out)]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    with rasterio.open(out) as image:
        brightness, alpha = image.read().astype(int)
    assert (alpha == 255).mean() > 0.95
    middle = brightness[len(brightness) // 2, 2:-2]
    assert (np.diff(middle) >= -1).all()
    assert middle[-1] - middle[0] > 150
