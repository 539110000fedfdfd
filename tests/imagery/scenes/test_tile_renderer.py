"""Tiles of scenes: positions to a pixel, no seams, and transparency where nothing was measured."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pyproj import Transformer

from sarlens.errors import PayloadTooLarge, UnsupportedImage
from sarlens.imagery.core.object_reader import DecodeLimits, InMemoryObject
from sarlens.imagery.core.radiometry import to_db
from sarlens.imagery.core.source_image import Measurement, SourceImage
from sarlens.imagery.formats.image_header import Level
from sarlens.imagery.formats.reader import read_level
from sarlens.imagery.render.speckle import despeckle
from sarlens.imagery.render.stretch import apply_limits
from sarlens.imagery.scenes.appearance import measure_appearance, measure_speckle, to_power
from sarlens.imagery.scenes.scene import Scene, read_scene
from sarlens.imagery.scenes.tile_matrix_set import PIXELS, WEB_MERCATOR, TileIndex
from sarlens.imagery.scenes.tile_renderer import TileSource, render_tile
from sarlens.types.render_params import RenderParams
from sarlens.types.window import Looks, Window
from support.georeferenced_scenes import SIDE, control_points, geotiff, swath

LIMITS = DecodeLimits()
EQUATOR_M = 2 * np.pi * 6_378_137


class Tiled:
    """A scene in memory whose tiles are rendered."""

    def __init__(self, tiff: bytes, params: RenderParams, limits: DecodeLimits = LIMITS) -> None:
        reader = InMemoryObject("s3://scenes/x.tif", "v", tiff)
        self.image = SourceImage(reader.name, (Measurement(reader),), reader.name)
        self.scene: Scene = read_scene(self.image, limits)
        self.appearance = measure_appearance(self.image, self.scene, params, None, limits)
        get_speckle: Callable[[Level, Looks], Any] = lambda level, looks: measure_speckle(  # noqa: E731
            self.image, self.appearance.params, level, looks, None, limits
        )
        self.source = TileSource(self.image, self.scene.header, self.appearance, None, get_speckle, limits)

    def tile(self, tms: str, *index: int) -> NDArray[np.uint8]:
        """A tile with shape (row, col, brightness and alpha)."""
        data = render_tile(self.source, self.scene.placement(tms), TileIndex(*index)).data
        return np.asarray(Image.open(io.BytesIO(data)))


def mercator_pixel(lon: Any, lat: Any, zoom: int) -> tuple[Any, Any]:
    """Column and row of a position in pixels of WebMercatorQuad, from the formula of EPSG:3857 by PROJ."""
    x, y = Transformer.from_crs(4326, 3857, always_xy=True).transform(lon, lat)
    side = 256 * 2**zoom
    return (np.asarray(x) / EQUATOR_M + 0.5) * side, (0.5 - np.asarray(y) / EQUATOR_M) * side


def brightest(tiled: Tiled, col: float, row: float, zoom: int) -> tuple[float, float]:
    """The center of the bright pixels near a pixel of WebMercatorQuad, put together from the tiles around it."""
    first = int((col - 8) // 256), int((row - 8) // 256)
    mosaic = np.block(
        [
            [tiled.tile(WEB_MERCATOR, zoom, (first[0] + x) % 2**zoom, first[1] + y)[..., 0] for x in range(2)]
            for y in range(2)
        ]
    )
    left, top = int(col) - 8 - 256 * first[0], int(row) - 8 - 256 * first[1]
    near = mosaic[top : top + 17, left : left + 17].astype(float)
    near = np.where(near > 200, near, 0)
    rows, cols = np.mgrid[: near.shape[0], : near.shape[1]]
    found = [(values * near).sum() / near.sum() + 0.5 for values in (cols, rows)]
    return found[0] + left + 256 * first[0] - col, found[1] + top + 256 * first[1] - row


PLAIN = RenderParams(preset="plain", stretch=(0.0, 100.0))
TARGETS = [(20, 30), (150, 22), (100, 100), (33, 170), (180, 181)]


def test_targets_of_an_affine_scene_are_at_their_places_to_a_pixel() -> None:
    """Five bright squares in UTM 31: the center of each is within half a pixel of the position that PROJ computes."""
    pixels = np.full((200, 200), 50, np.uint16)
    for col, row in TARGETS:
        pixels[row - 1 : row + 2, col - 1 : col + 2] = 5000
    tiled = Tiled(geotiff(pixels), PLAIN)
    zoom = tiled.scene.zooms(tiled.scene.placement(WEB_MERCATOR))[1]
    assert zoom == 14
    for col, row in TARGETS:
        east, north = 500_000 + 10 * (col + 0.5), 5_000_000 - 10 * (row + 0.5)
        at = mercator_pixel(*Transformer.from_crs(32631, 4326, always_xy=True).transform(east, north), zoom)
        assert np.hypot(*brightest(tiled, float(at[0]), float(at[1]), zoom)) < 0.5


@pytest.mark.parametrize("lon", [10.0, 179.85])
def test_targets_of_a_scene_with_control_points_are_at_their_places_to_a_pixel(lon: float) -> None:
    """A bent swath, also across the antimeridian: each target is within a pixel of the true ground position."""
    pixels = np.full((SIDE, SIDE), 50, np.uint16)
    for col, row in TARGETS:
        pixels[row - 1 : row + 2, col - 1 : col + 2] = 5000
    tiff = geotiff(pixels, transform=None, crs="EPSG:4326", gcps=control_points(lon))
    tiled = Tiled(tiff, PLAIN)
    placement = tiled.scene.placement(WEB_MERCATOR)
    zoom = tiled.scene.zooms(placement)[1]
    assert len(placement.boxes) == (1 if lon == 10 else 2)
    for col, row in TARGETS:
        ground = swath(np.array(col + 0.5), np.array(row + 0.5), lon)
        at = mercator_pixel((float(ground[0]) + 180) % 360 - 180, float(ground[1]), zoom)
        assert np.hypot(*brightest(tiled, float(at[0]), float(at[1]), zoom)) < 1.0


@pytest.mark.parametrize("filter_name", ["refined_lee", "gamma_map", "lee", "frost", "none"])
def test_tiles_have_no_seam(filter_name: Any) -> None:
    """Tiles of the pixels, put together, equal the scene that is filtered and stretched in one piece."""
    rng = np.random.default_rng(3)
    pixels = (80 * np.sqrt(rng.exponential(1.0, (600, 700))) + np.linspace(0, 900, 700)).astype(np.uint16) + 1
    pixels[100:400, 240:270] = 0
    tiled = Tiled(geotiff(pixels), RenderParams(filter=filter_name))
    params, level = tiled.appearance.params, tiled.scene.header.levels[0]
    power = to_power(
        read_level(tiled.image, params, level, Window(0, 0, 700, 600), Looks(1, 1), LIMITS), params, Looks(1, 1), None
    )
    speckle = tiled.source.get_speckle(level, Looks(1, 1))
    whole = apply_limits(to_db(despeckle(power, params.speckle_filter, speckle)), tiled.appearance.limits)
    zoom = tiled.scene.zooms(tiled.scene.placement(PIXELS))[1]
    mosaic = np.block([[[tiled.tile(PIXELS, zoom, x, y)] for x in range(3)] for y in range(3)])
    assert np.array_equal(mosaic[:600, :700, 1] == 255, whole.valid)
    assert np.array_equal(mosaic[:600, :700, 0], whole.pixels[0])
    assert not mosaic[600:, :, 1].any()
    assert not mosaic[:, 700:, 1].any()


def test_a_ramp_continues_across_the_edges_of_warped_tiles() -> None:
    """Between the last column of a tile and the first of the next, brightness changes as within the tiles."""
    levels = np.linspace(-25.0, 0.0, SIDE)
    pixels = np.broadcast_to(10 ** (levels / 10), (SIDE, SIDE)).astype(np.float32)
    tiff = geotiff(pixels, transform=None, crs="EPSG:4326", gcps=control_points(), blockxsize=64, blockysize=64)
    tiled = Tiled(tiff, RenderParams(filter="lee", scale="linear"))
    placement = tiled.scene.placement(WEB_MERCATOR)
    zoom = tiled.scene.zooms(placement)[1] + 1
    box, side = placement.boxes[0], 256 * placement.tms.resolution(zoom)
    x = int((box.left + box.right - 2 * placement.tms.left) / 2 // side)
    y = int((2 * placement.tms.top - box.top - box.bottom) / 2 // side)
    left, right = (tiled.tile(WEB_MERCATOR, zoom, x + at, y).astype(int) for at in (0, 1))
    both = np.concatenate([left, right], axis=1)
    opaque = both[:, 100:401, 1].all(axis=1)
    steps = np.abs(np.diff(both[..., 0], axis=1))
    assert opaque.sum() > 100
    assert steps[opaque, 255].max() <= steps[opaque][:, 100:400].max() <= 3


def test_pixels_without_a_measurement_are_transparent() -> None:
    """Nodata of the file is transparent at full resolution, and where more than half of an average is nodata."""
    pixels = np.full((512, 512), 0.1, np.float32)
    pixels[:, :100] = -9999
    pixels[3, 300] = 4
    tiled = Tiled(geotiff(pixels, nodata=-9999), PLAIN)
    assert np.array_equal(tiled.tile(PIXELS, 1, 0, 0)[..., 1] == 255, pixels[:256, :256] > 0)
    assert np.array_equal(tiled.tile(PIXELS, 0, 0, 0)[..., 1] == 255, pixels[::2, ::2] > 0)


def test_a_large_image_in_tiles_without_overviews_is_shown_from_the_zoom_that_its_limits_allow() -> None:
    """1024 x 1024 pixels with a limit of 150,000: zoom 1 needs a quarter of the image, so the first level is 2."""
    pixels = np.random.default_rng(0).integers(50, 90, (1024, 1024)).astype(np.uint16)
    limits = DecodeLimits(window_pixels=150_000)
    tiled = Tiled(geotiff(pixels, blockxsize=64, blockysize=64), PLAIN, limits)
    assert tiled.scene.zooms(tiled.scene.placement(PIXELS)) == (2, 2)
    assert tiled.tile(PIXELS, 2, 1, 1)[..., 1].min() == 255
    with pytest.raises(PayloadTooLarge):
        tiled.tile(PIXELS, 0, 0, 0)


def test_8_bit_images_are_averaged_once() -> None:
    """A PNG of 4,096 x 2,048 pixels at a quarter of its size: each pixel is the mean of 4 x 4, whatever was read."""
    pixels = np.random.default_rng(0).integers(0, 256, (2048, 4096)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=1)
    tiled = Tiled(file.getvalue(), RenderParams())
    means = pixels[:1024, :1024].reshape(256, 4, 256, 4).mean(axis=(1, 3))
    assert np.abs(tiled.tile(PIXELS, 2, 0, 0)[..., 0] - means).max() <= 0.51
    whole = pixels.reshape(128, 16, 256, 16).mean(axis=(1, 3))
    assert np.abs(tiled.tile(PIXELS, 0, 0, 0)[:128, :, 0] - whole).max() <= 0.51


def test_low_zoom_levels_of_a_scene_without_overviews_come_from_one_read() -> None:
    """Tiles of a reduced scene equal the power that NumPy averages, and read no byte once the scene is known."""
    rng = np.random.default_rng(4)
    pixels = (60 * np.sqrt(rng.exponential(1.0, (1800, 3600))) + np.linspace(0, 600, 3600)).astype(np.uint16) + 1
    tiled = Tiled(geotiff(pixels), RenderParams(preset="plain", stretch=(0.0, 100.0)))
    assert tiled.appearance.quicklook is not None
    assert tiled.appearance.quicklook.looks == (4, 4)
    reader = InMemoryObject("s3://scenes/x.tif", "v", b"")
    unreadable = SourceImage(reader.name, (Measurement(reader),), reader.name)
    tiled.source = replace(tiled.source, source_image=unreadable)
    power = (pixels.astype(float) ** 2).reshape(450, 4, 900, 4).mean(axis=(1, 3))
    ((black, white),) = tiled.appearance.limits
    levels = (10 * np.log10(power) - black) * 255 / (white - black)
    mosaic = np.block([[[tiled.tile(PIXELS, 2, x, y)] for x in range(4)] for y in range(2)])
    assert np.abs(mosaic[:450, :900, 0] - levels).max() <= 1.51  # Pillow cuts off fractions of an interpolated level
    assert (mosaic[:450, :900, 1] == 255).all()
    assert tiled.tile(PIXELS, 0, 0, 0)[..., 1].sum() == 255 * 225 * 113
    with pytest.raises(UnsupportedImage):
        tiled.tile(PIXELS, 4, 0, 0)
