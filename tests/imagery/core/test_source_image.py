"""Source images: versions and files."""

from __future__ import annotations

import hashlib

from sarlens.imagery.core.object_reader import InMemoryObject
from sarlens.imagery.core.resolved_image import ResolvedImage
from sarlens.imagery.core.source_image import Annotation, Measurement, NoiseAnnotation, SourceImage
from sarlens.types.render_params import RenderParams


def reader(name: str) -> InMemoryObject:
    """An object whose version is its name."""
    return InMemoryObject(name, name, b"")


ANNOTATION = Annotation(reader("calibration"), NoiseAnnotation(reader("noise"), reader("product")))


def test_the_version_of_one_file_is_that_of_the_file() -> None:
    """Annotation and index objects are not part of the version of the pixels."""
    image = SourceImage("a", (Measurement(reader("v1"), None, ANNOTATION),), "a", (reader("manifest"),))
    assert image.version == "v1"


def test_the_version_of_several_files_has_all_of_them_in_order() -> None:
    """It is the SHA-256 of the versions, separated by spaces."""
    image = SourceImage("a", (Measurement(reader("v1"), "VV"), Measurement(reader("v2"), "VH")), "a")
    assert image.version == f"product:{hashlib.sha256(b'v1 v2').hexdigest()}"


def test_objects_are_pixels_then_annotation() -> None:
    """All files that define the rendered image are listed; the first has the georeference."""
    image = SourceImage(
        "a", (Measurement(reader("v1"), "VV", ANNOTATION), Measurement(reader("v2"), "VH")), "a", (reader("manifest"),)
    )
    assert [opened.name for opened in image.objects] == ["v1", "v2", "calibration", "noise", "product"]
    assert image.georeferencing_file.name == "v1"
    assert [opened.name for opened in Annotation(reader("calibration")).objects] == ["calibration"]


def test_a_resolved_image_bounds_its_pixels() -> None:
    """The size of the render parameters takes precedence over that of the model."""
    image = SourceImage("a", (Measurement(reader("v1")),), "s3://scenes/a.tif")
    sizes = [ResolvedImage("id", image, RenderParams(size=size), 448, False) for size in (None, 100)]
    assert [(resolved.side, resolved.pixels) for resolved in sizes] == [(448, 200_704), (100, 10_000)]
    assert [resolved.location for resolved in sizes] == ["s3://scenes/a.tif"] * 2
