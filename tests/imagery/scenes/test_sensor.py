"""The sensor of an image."""

from __future__ import annotations

import numpy as np
import pytest

from sarlens.imagery.core.object_reader import DecodeLimits, InMemoryObject
from sarlens.imagery.core.source_image import Measurement, SourceImage
from sarlens.imagery.scenes.sensor import read_sensor
from sarlens.stac import Acquisition
from sarlens.types.sensor import Sensor
from support.georeferenced_scenes import geotiff

PIXELS = np.ones((64, 64), np.uint16)


def tagged(**tags: str) -> bytes:
    """Return a GeoTIFF with pixels of 10 m and these tags."""
    return geotiff(PIXELS, tags=tags, blockxsize=16, blockysize=16)


def sensor(name: str, data: bytes, acquisition: Acquisition | None = None) -> Sensor:
    """Return the sensor of a file."""
    measurement = Measurement(InMemoryObject(name, version="1", data=data))
    return read_sensor(SourceImage(name, (measurement,), name, acquisition=acquisition), DecodeLimits())


@pytest.mark.parametrize(
    ("name", "tags", "platform", "mode"),
    [
        ("s3://b/s1a-iw-grd-vv-20150203t043109-20150203t043134-004454-00574f-001.tiff", {}, "sentinel-1a", "iw"),
        ("s3://b/x.tif", {"SATELLITE_NAME": "('ICEYE-X7',)", "ACQUISITION_MODE": "Spotlight"}, "iceye-x7", "spotlight"),
        ("s3://b/s1.tif", {}, None, None),
    ],
)
def test_names_and_tags(name: str, tags: dict[str, str], platform: str | None, mode: str | None) -> None:
    """Platform and mode come from the name of a Sentinel-1 file or the tags, the spacing from the georeference."""
    found = sensor(name, tagged(**tags))
    assert (found.platform, found.mode) == (platform, mode)
    assert found.spacing_m == pytest.approx(10, rel=0.01)


def test_a_stac_item_precedes_the_file() -> None:
    """The Item's platform, mode and spacings are those of the image; the file is ignored."""
    item = Acquisition(
        item="i", asset="a", platform="Umbra-05", instrument_mode="SL", pixel_spacing_range=0.5, pixel_spacing_azimuth=2
    )
    found = sensor("s3://b/x.tif", tagged(SATELLITE_NAME="ICEYE-X7"), item)
    assert found == Sensor("umbra-05", "sl", 1.0)


def test_an_image_without_metadata() -> None:
    """A PNG has no header that states its sensor; the words for an error say so."""
    png = b"\x89PNG\r\n\x1a\n" + bytes(64)
    assert sensor("s3://b/x.png", png) == Sensor()
    assert str(Sensor()) == "platform unknown, mode unknown, pixel spacing unknown"
    assert str(Sensor("sentinel-1a", "iw", 10.0)) == "platform sentinel-1a, mode iw, pixel spacing 10 m"
