"""PNG, JPEG and WebP: images that pass through unchanged, and images that become rasters."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from imagery.object_fixtures import RecordingReader, encoded, raster_of, rgb_pixels
from sarlens.errors import BandNotFound, PayloadTooLarge, UnsupportedImage, WindowOutOfBounds
from sarlens.imagery.core.raster import Quantity, Raster, RenderedImage
from sarlens.imagery.formats.reader import DecodeLimits, read_image
from sarlens.imagery.render.pipeline import render
from sarlens.types.render_params import RenderParams

GRAY = np.arange(60 * 80, dtype=np.uint16).reshape(60, 80)
COLOR = np.stack([GRAY % 256, GRAY // 19, 255 - GRAY % 256], axis=2).astype(np.uint8)


@pytest.mark.parametrize(("kind", "media_type"), [("PNG", "image/png"), ("JPEG", "image/jpeg"), ("WEBP", "image/webp")])
@pytest.mark.parametrize("pixels", [COLOR, COLOR[:, :, 0]])
def test_a_small_8_bit_image_passes_through(kind: str, media_type: str, pixels: Any) -> None:
    """An 8-bit image of at most the model's size is returned byte for byte, with its media type."""
    data = encoded(pixels, kind)
    assert read_image(RecordingReader(data), RenderParams(), 80, DecodeLimits()) == RenderedImage(
        data, media_type, 80, 60
    )


@pytest.mark.parametrize(
    ("size", "render"),
    [
        (79, {}),
        (80, {"window": (0, 0, 80, 60)}),
        (80, {"bands": (1,)}),
        (80, {"size": 40}),
        (80, {"scale": "linear"}),
        (81, {"enlarge": 2}),
    ],
)
def test_any_render_parameter_decodes_the_image(size: int, render: dict[str, Any]) -> None:
    """A smaller size, a window, a band or a scale makes a raster of an 8-bit image."""
    raster = read_image(RecordingReader(encoded(COLOR)), RenderParams(**render), size, DecodeLimits())
    assert isinstance(raster, Raster)
    assert raster.pixels.dtype == np.uint8


def test_a_large_8_bit_image_is_only_reduced() -> None:
    """No filter, logarithm or stretch is applied to an 8-bit image."""
    flat = np.full((200, 300, 3), (10, 100, 50), np.uint8)
    rendered = render(raster_of(encoded(flat), size=150), RenderParams(), 150)
    assert (rendered.width, rendered.height, rendered.media_type) == (150, 100, "image/png")
    np.testing.assert_array_equal(rgb_pixels(rendered), flat[:100, :150])


def test_windows_and_bands_have_the_pixels_of_the_image() -> None:
    """A window is cropped at full resolution; bands are selected by letter or number."""
    raster = raster_of(encoded(COLOR), window=(10, 20, 30, 15), bands=("b", 1))
    np.testing.assert_array_equal(raster.pixels, np.moveaxis(COLOR[20:35, 10:40, [2, 0]], 2, 0))
    assert raster.bands == ("B", "R")
    with pytest.raises(WindowOutOfBounds):
        raster_of(encoded(COLOR), window=(60, 0, 30, 15))
    with pytest.raises(BandNotFound, match="3 bands: R, G, B"):
        raster_of(encoded(COLOR), bands=("VV",))


def test_a_16_bit_png_is_a_measurement() -> None:
    """The numbers of a 16-bit grayscale PNG are amplitudes."""
    raster = raster_of(encoded(GRAY))
    np.testing.assert_array_equal(raster.pixels[0], GRAY)
    assert raster.quantity is Quantity.AMPLITUDE


def test_transparent_pixels_are_invalid() -> None:
    """Pixels are invalid by alpha, with color or gray, or by a transparent palette color, and are rendered black."""
    rgba = np.dstack([COLOR | 1, np.full((60, 80), 255, np.uint8)])
    rgba[:, 40:, 3] = 0
    palette = Image.fromarray((GRAY % 2).astype(np.uint8)).convert("P")
    palette.putpalette([200, 200, 200, 100, 150, 100])
    left = np.arange(80) < 40
    for data, valid in [
        (encoded(rgba), left),
        (encoded(np.ascontiguousarray(rgba[:, :, 2:])), left),
        (encoded(np.asarray(palette), transparency=0), np.arange(80) % 2 == 1),
        (encoded(rgba, "WEBP", lossless=True), left),
    ]:
        raster = raster_of(data)
        np.testing.assert_array_equal(raster.valid, np.tile(valid, (60, 1)))
        pixels = rgb_pixels(render(raster, RenderParams(), 448))
        assert (pixels[~raster.valid] == 0).all()
        assert (pixels[raster.valid].max(axis=1) > 0).all()


def test_pixels_with_half_the_opacity_are_valid() -> None:
    """Alpha of 128 is valid, and 127 isn't."""
    rgba = np.full((1, 3, 4), 9, np.uint8)
    rgba[0, :, 3] = 127, 128, 129
    assert raster_of(encoded(rgba)).valid.tolist() == [[False, True, True]]


def test_palettes_single_bits_and_cmyk_are_converted() -> None:
    """A palette is converted to RGB, one bit to black and white, and CMYK to RGB."""
    for mode, bands in [("P", 3), ("1", 1), ("CMYK", 3)]:
        image = Image.fromarray(COLOR).convert(mode)
        kind = "JPEG" if mode == "CMYK" else "PNG"
        raster = raster_of(_saved(image, kind))
        expected = np.asarray(image.convert("L" if bands == 1 else "RGB"), np.int16).reshape(60, 80, bands)
        assert np.abs(np.moveaxis(raster.pixels, 0, 2) - expected).mean() < 8
        assert raster.quantity is Quantity.BRIGHTNESS


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_the_first_frame_of_an_animation_is_read(kind: str) -> None:
    """An animation doesn't pass through, since models expect one image."""
    frames = [Image.new("RGB", (20, 10), color) for color in ("#ff0000", "#00ff00")]
    raster = raster_of(_saved(frames[0], kind, save_all=True, append_images=frames[1:]))
    assert np.abs(raster.pixels[:, 0, 0] - [255.0, 0, 0]).max() < 8


def test_a_decompression_bomb_is_rejected_by_its_header() -> None:
    """A PNG of a few kilobytes with 81 or 400 million pixels isn't decompressed."""
    for side in (9_000, 20_000):
        bomb = _saved(Image.new("1", (side, side)), "PNG")
        with pytest.raises(PayloadTooLarge, match="declares more than 67108864 pixels"):
            raster_of(bomb)


@pytest.mark.parametrize(("limit", "accepted"), [(80 * 60 * 3, True), (80 * 60 * 3 - 1, False)])
def test_the_limit_counts_pixels_times_bands(limit: int, accepted: bool) -> None:
    """80 x 60 pixels of three bands need a limit of 14,400."""
    if accepted:
        assert raster_of(encoded(COLOR), 40, DecodeLimits(window_pixels=limit)).shape == (60, 80)
    else:
        with pytest.raises(PayloadTooLarge, match=f"more than {limit} pixels times bands"):
            raster_of(encoded(COLOR), 40, DecodeLimits(window_pixels=limit))


def test_a_file_at_the_limit_is_read() -> None:
    """The file size may equal the limit."""
    data = encoded(COLOR)
    assert raster_of(data, 40, DecodeLimits(bitmap_bytes=len(data))).shape == (60, 80)
    with pytest.raises(PayloadTooLarge, match=f"has {len(data)} bytes; the limit .* is {len(data) - 1}"):
        raster_of(data, 40, DecodeLimits(bitmap_bytes=len(data) - 1))


def test_a_file_over_the_limit_is_not_fetched() -> None:
    """Only the first 64 KiB of an image with too many bytes are fetched."""
    blob = RecordingReader(encoded(np.random.default_rng(0).integers(0, 255, (300, 300), np.uint8)))
    with pytest.raises(PayloadTooLarge, match="the limit for PNG, JPEG and WebP is 70000"):
        read_image(blob, RenderParams(), 448, DecodeLimits(bitmap_bytes=70_000))
    assert blob.bytes_fetched == 64 * 1024


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_a_truncated_image_is_rejected(kind: str, share: float) -> None:
    """An image that ends early is rejected by the gateway, and not later by a worker."""
    data = encoded(np.random.default_rng(0).integers(0, 255, (300, 300), np.uint8), kind)
    with pytest.raises(UnsupportedImage, match="damaged or truncated"):
        raster_of(data[: int(len(data) * share)])


def _saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()
