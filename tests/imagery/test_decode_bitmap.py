"""PNG, JPEG and WebP: what passes as it is, and what becomes a raster."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from imagery.blobs import BytesBlob, encoded, raster_of
from sarlens.errors import BandMissing, TooLarge, UnsupportedImage, WindowOutside
from sarlens.imagery.decode import Limits, decode
from sarlens.imagery.raster import Picture, Quantity, Raster
from sarlens.imagery.render import develop
from sarlens.request import Render

GREY = np.arange(60 * 80, dtype=np.uint16).reshape(60, 80)
COLOUR = np.stack([GREY % 256, GREY // 19, 255 - GREY % 256], axis=2).astype(np.uint8)


@pytest.mark.parametrize(("kind", "media_type"), [("PNG", "image/png"), ("JPEG", "image/jpeg"), ("WEBP", "image/webp")])
@pytest.mark.parametrize("pixels", [COLOUR, COLOUR[:, :, 0]])
def test_a_picture_that_fits_passes_as_it_is(kind: str, media_type: str, pixels: Any) -> None:
    """An 8-bit picture no larger than the model sees goes to it byte for byte."""
    data = encoded(pixels, kind)
    assert decode(BytesBlob(data), Render(), 80, Limits()) == Picture(data, media_type, 80, 60)


@pytest.mark.parametrize(
    ("size", "render"),
    [(79, {}), (80, {"window": (0, 0, 80, 60)}), (80, {"bands": (1,)}), (80, {"size": 40}), (80, {"scale": "linear"})],
)
def test_a_picture_of_which_something_is_asked_is_decoded(size: int, render: dict[str, Any]) -> None:
    """A smaller size, a window, a band or a scale makes a raster of a picture."""
    raster = decode(BytesBlob(encoded(COLOUR)), Render(**render), size, Limits())
    assert isinstance(raster, Raster)
    assert raster.pixels.dtype == np.uint8


def test_a_large_picture_is_reduced_and_otherwise_left_alone() -> None:
    """No filter, logarithm or stretch touches an 8-bit picture."""
    flat = np.full((200, 300, 3), (10, 100, 50), np.uint8)
    picture = develop(raster_of(encoded(flat), size=150), Render(), 150)
    assert (picture.width, picture.height, picture.media_type) == (150, 100, "image/png")
    np.testing.assert_array_equal(pixels_of(picture), flat[:100, :150])


def test_windows_and_bands_of_a_picture_are_its_pixels() -> None:
    """A window is cut at full resolution, and bands go by letter or by number."""
    raster = raster_of(encoded(COLOUR), window=(10, 20, 30, 15), bands=("b", 1))
    np.testing.assert_array_equal(raster.pixels, np.moveaxis(COLOUR[20:35, 10:40, [2, 0]], 2, 0))
    assert raster.bands == ("B", "R")
    with pytest.raises(WindowOutside):
        raster_of(encoded(COLOUR), window=(60, 0, 30, 15))
    with pytest.raises(BandMissing, match="3 bands: R, G, B"):
        raster_of(encoded(COLOUR), bands=("VV",))


def test_sixteen_bits_of_grey_are_a_measurement() -> None:
    """A 16-bit PNG is read as amplitudes, exactly, and rendered as any measurement is."""
    raster = raster_of(encoded(GREY))
    np.testing.assert_array_equal(raster.pixels[0], GREY)
    assert raster.quantity is Quantity.AMPLITUDE


def test_what_is_transparent_is_not_measured() -> None:
    """Alpha, an alpha beside grey, and a transparent colour of a palette leave pixels out, which are drawn black."""
    rgba = np.dstack([COLOUR | 1, np.full((60, 80), 255, np.uint8)])
    rgba[:, 40:, 3] = 0
    palette = Image.fromarray((GREY % 2).astype(np.uint8)).convert("P")
    palette.putpalette([200, 200, 200, 100, 150, 100])
    for data, share in [
        (encoded(rgba), 0.5),
        (encoded(np.ascontiguousarray(rgba[:, :, 2:])), 0.5),
        (encoded(np.asarray(palette), transparency=0), 0.5),
        (encoded(rgba, "WEBP", lossless=True), 0.5),
    ]:
        raster = raster_of(data)
        assert raster.valid.mean() == share
        drawn = pixels_of(develop(raster, Render(), 448))
        assert (drawn[~raster.valid] == 0).all()
        assert (drawn[raster.valid].max(axis=1) > 0).all()


def test_palettes_single_bits_and_inks_become_grey_or_colour() -> None:
    """A palette gives its colours, one bit black and white, CMYK red, green and blue."""
    for mode, bands in [("P", 3), ("1", 1), ("CMYK", 3)]:
        image = Image.fromarray(COLOUR).convert(mode)
        kind = "JPEG" if mode == "CMYK" else "PNG"
        raster = raster_of(_saved(image, kind))
        expected = np.asarray(image.convert("L" if bands == 1 else "RGB"), np.int16).reshape(60, 80, bands)
        assert np.abs(np.moveaxis(raster.pixels, 0, 2) - expected).mean() < 8
        assert raster.quantity is Quantity.PICTURE


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_of_an_animation_the_first_frame_is_shown(kind: str) -> None:
    """An animation is not passed on as it is: models expect one picture."""
    frames = [Image.new("RGB", (20, 10), colour) for colour in ("#ff0000", "#00ff00")]
    raster = raster_of(_saved(frames[0], kind, save_all=True, append_images=frames[1:]))
    assert np.abs(raster.pixels[:, 0, 0] - [255.0, 0, 0]).max() < 8


def test_a_bomb_is_refused_by_its_header() -> None:
    """A PNG of a few kilobytes that unpacks to hundreds of megabytes is not unpacked."""
    for side in (9_000, 20_000):
        bomb = _saved(Image.new("1", (side, side)), "PNG")
        with pytest.raises(TooLarge, match="declares more than 67108864 pixels"):
            raster_of(bomb)


def test_a_file_over_the_limit_is_not_fetched() -> None:
    """Of a picture with too many bytes only the head is read."""
    blob = BytesBlob(encoded(np.random.default_rng(0).integers(0, 255, (300, 300), np.uint8)))
    with pytest.raises(TooLarge, match="a PNG, JPEG or WebP may have 70000"):
        decode(blob, Render(), 448, Limits(picture_bytes=70_000))
    assert blob.moved == 64 * 1024


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_a_picture_cut_short_is_refused(kind: str, share: float) -> None:
    """A picture that ends early is refused here, and not by a worker later."""
    data = encoded(np.random.default_rng(0).integers(0, 255, (300, 300), np.uint8), kind)
    with pytest.raises(UnsupportedImage, match="cut short"):
        raster_of(data[: int(len(data) * share)])


def pixels_of(picture: Picture) -> Any:
    """The pixels (row, col, channel) of a rendered picture."""
    with Image.open(io.BytesIO(picture.data)) as image:
        return np.asarray(image)


def _saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    held = io.BytesIO()
    image.save(held, kind, **options)
    return held.getvalue()
