"""Data sets and files: readable, resumable, and the same bytes however they are made."""

from __future__ import annotations

import hashlib
import json
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner

from sarbench.cli import app
from sarbench.dataset.census import take_census
from sarbench.dataset.library import open_library
from sarbench.errors import DatasetError
from sarbench.simulate.annotation import read_coco, write_coco
from sarbench.simulate.chip import simulate_chip
from sarbench.simulate.dataset import Format, Recipe, simulate_dataset
from sarbench.simulate.geometry import Sensor
from sarbench.simulate.geotiff import CALIBRATION, NODATA_DB, Encoding, write_geotiff
from sarbench.simulate.ground import Plain
from sarbench.simulate.landcover import LandCover
from sarbench.simulate.layouts.region import region
from sarbench.simulate.picture import RENDER, picture_of
from sarbench.simulate.samples import SAMPLES, write_samples
from sarbench.simulate.scene import Scene
from sarbench.simulate.truth import Box, Seen, Truth
from sarlens.imagery.decode import Limits, decode
from sarlens.imagery.raster import Quantity, Raster
from sarlens.imagery.render import develop
from sarlens.imagery.source import HeldBlob

SEA = Scene(3, 300, 700, Sensor(5.0), [Plain(LandCover.WATER)], [])


def digests(folder: Path) -> dict[str, str]:
    """A digest of every file."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("encoding", list(Encoding))
def test_a_geotiff_says_where_it_lies_and_what_it_holds(tmp_path: Path, encoding: Encoding) -> None:
    """CRS, affine, data type, nodata, overviews and band name are as they should be, the pixels those of the scene."""
    path = tmp_path / "sea.tif"
    write_geotiff(SEA, path, encoding)
    with rasterio.open(path) as raster:
        assert raster.crs.to_epsg() == 32631
        assert raster.transform.a == -raster.transform.e == 5.0
        assert (raster.height, raster.width) == (300, 700)
        assert raster.dtypes == (encoding.dtype,)
        assert raster.descriptions == ("VV",)
        assert raster.nodata == {Encoding.DN: 0, Encoding.DB: NODATA_DB}.get(encoding)
        assert raster.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert raster.overviews(1)
        pixels = raster.read(1)
    sigma0 = SEA.intensity(SEA.window)
    power = {
        Encoding.DN: lambda: (pixels / CALIBRATION) ** 2,
        Encoding.LINEAR: lambda: pixels,
        Encoding.DB: lambda: 10 ** (pixels / 10),
        Encoding.SLC: lambda: np.abs(pixels) ** 2,
    }[encoding]()
    if encoding is Encoding.SLC:
        assert power.mean() == pytest.approx(sigma0.mean(), rel=0.05)
    else:
        assert np.allclose(power, sigma0, rtol=0.05, atol=1e-4)


def test_two_polarisations_are_two_named_bands(tmp_path: Path) -> None:
    """VV and VH are bands of one file; over water VH is several decibels lower and its speckle is its own."""
    write_geotiff(SEA, tmp_path / "dual.tif", Encoding.DB, polarisations=("VV", "VH"))
    with rasterio.open(tmp_path / "dual.tif") as raster:
        assert raster.descriptions == ("VV", "VH")
        first, second = raster.read()
    assert (first - second).mean() > 4
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.15


def test_a_margin_is_nodata(tmp_path: Path) -> None:
    """The pixels along the edge were not measured, those inside were."""
    write_geotiff(SEA, tmp_path / "edge.tif", Encoding.DB, margin=9)
    with rasterio.open(tmp_path / "edge.tif") as raster:
        empty = raster.read(1) == NODATA_DB
    assert not empty[9:-9, 9:-9].any()
    empty[9:-9, 9:-9] = True
    assert empty.all()


def test_blocks_of_a_file_are_windows_of_the_scene(tmp_path: Path) -> None:
    """A file wider than one block equals the scene rendered at once."""
    coast = region(2, 600, 1500, 10.0)
    write_geotiff(coast, tmp_path / "coast.tif", Encoding.LINEAR)
    with rasterio.open(tmp_path / "coast.tif") as raster:
        assert np.array_equal(raster.read(1), coast.intensity(coast.window))


def test_samples_are_the_same_every_time(tmp_path: Path) -> None:
    """The sample scenes have the names, kinds and answers that are documented, and equal bytes on each writing."""
    write_samples(tmp_path / "one")
    write_samples(tmp_path / "two")
    assert digests(tmp_path / "one") == digests(tmp_path / "two")
    truth = json.loads((tmp_path / "one" / "scenes.json").read_text())
    assert list(truth) == [sample.file for sample in SAMPLES]
    assert all(int(asked["How many ships are in the image?"]) >= 0 for asked in truth.values())
    assert Image.open(tmp_path / "one" / "coast.png").size == (512, 512)


def test_an_object_of_a_sample_is_not_lost_in_its_margin() -> None:
    """Nodata along the edge of a sample hides nothing that is asked about."""
    for sample in SAMPLES:
        for seen in sample.chip().truth.objects:
            x, y, width, height = seen.box
            assert min(x, y) >= sample.margin
            assert max(x + width, y + height) <= sample.size - sample.margin


def test_a_data_set_is_the_same_from_any_number_of_processes(tmp_path: Path) -> None:
    """One process, three processes, and a run that finds half of its images there already write equal bytes."""
    recipe = Recipe(images=20, test=4, seed=5, size=128)
    simulate_dataset(tmp_path / "one", recipe, 1)
    simulate_dataset(tmp_path / "three", recipe, 3)
    whole = digests(tmp_path / "one")
    assert digests(tmp_path / "three") == whole
    for path in sorted((tmp_path / "one" / "SARimages").iterdir())[::2]:
        path.unlink()
    simulate_dataset(tmp_path / "one", recipe, 2)
    assert digests(tmp_path / "one") == whole
    with pytest.raises(DatasetError, match="other settings"):
        simulate_dataset(tmp_path / "one", Recipe(images=20, test=4, seed=6, size=128), 1)


@pytest.mark.parametrize("file_format", list(Format))
def test_the_reader_of_the_benchmark_reads_what_was_simulated(tmp_path: Path, file_format: Format) -> None:
    """Every text of a simulated data set is a good row of the released layout and its image is there."""
    done: list[int] = []
    simulate_dataset(tmp_path, Recipe(images=8, test=3, size=128, format=file_format), 2, done.append)
    assert sum(done) == 11
    census = take_census(open_library(str(tmp_path)))
    assert not census.faults
    suffix = ".png" if file_format is Format.PNG else ".tif"
    assert len(list((tmp_path / "SARimages").glob(f"*{suffix}"))) == 11
    for split, number in (("train", 8), ("test", 3)):
        assert len(read_coco(tmp_path / "annotations" / f"{split}.json")) == number
        for text in (tmp_path / "Text").rglob(f"*{split}*.json"):
            assert all(len(row["messages"]) == 2 for row in json.loads(text.read_text()))


def coco(**changes: Any) -> dict[str, Any]:
    """An annotation file like SARDet-100K's."""
    return {
        "images": [{"id": 7, "file_name": "0000007.jpg", "height": 512, "width": 512}],
        "annotations": [{"id": 1, "image_id": 7, "category_id": 5, "bbox": [56.0, 191.0, 112.0, 122.0], "area": 1.0}],
        "categories": [{"id": 0, "name": "ship"}, {"id": 5, "name": "Harbor"}],
    } | changes


def test_sardet_annotations_are_read(tmp_path: Path) -> None:
    """Boxes are absolute [x, y, width, height], categories are told by name whatever their case."""
    path = tmp_path / "train.json"
    path.write_text(json.dumps(coco()))
    (truth,) = read_coco(path)
    assert truth == Truth("0000007.jpg", 512, 512, (Seen("harbor", Box(56.0, 191.0, 112.0, 122.0)),))


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"categories": [{"id": 5, "name": "windmill"}]}, "windmill"),
        ({"images": []}, "image 7"),
        ({"annotations": [{"image_id": 7, "category_id": 5, "bbox": [1, 2, 0, 4]}]}, "annotations.0.bbox.2"),
        ({"annotations": [{"image_id": 7, "category_id": 5, "bbox": [1, 2, 3]}]}, "annotations.0.bbox.3"),
        ({"annotations": "none"}, "annotations"),
    ],
)
def test_a_bad_annotation_is_named(tmp_path: Path, changes: dict[str, Any], complaint: str) -> None:
    """What is wrong with an annotation file is told by file and place."""
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(coco(**changes)))
    with pytest.raises(DatasetError, match=f"bad.json.*{complaint}"):
        read_coco(path)


@settings(max_examples=200)
@given(st.one_of(st.binary(max_size=60), st.text(max_size=60).map(str.encode), st.just(b"[1, 2]"), st.just(b"{}")))
def test_no_bytes_break_the_annotation_reader(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """Whatever a file holds, it is read or refused in a sentence."""
    path = tmp_path_factory.getbasetemp() / "fuzz.json"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match="not COCO"):
        read_coco(path)


def test_boxes_come_back_as_they_were_written(tmp_path: Path) -> None:
    """Writing annotations and reading them gives the same truth."""
    truths = [Truth("a.png", 9, 8, (Seen("car", Box(1.0, 2.0, 3.5, 4.0)),)), Truth("b.png", 9, 8, ())]
    write_coco(truths, tmp_path / "boxes.json")
    assert read_coco(tmp_path / "boxes.json") == truths


def test_annotations_become_texts_on_the_command_line(tmp_path: Path) -> None:
    """``sarbench questions`` writes both halves of the questions and the captions; a missing file is one sentence."""
    path = tmp_path / "boxes.json"
    path.write_text(json.dumps(coco()))
    done = CliRunner().invoke(app, ["questions", str(path), "--out", str(tmp_path / "out"), "--split", "test"])
    assert done.exit_code == 0, done.output
    rows = (tmp_path / "out" / "Text" / "VQA" / "test" / "SARVQA1_test.csv").read_text()
    assert '"What is the object present in the area [56.0, 191.0, 112.0, 122.0]?",harbor' in rows
    missing = CliRunner().invoke(app, ["questions", str(tmp_path / "none.json"), "--out", str(tmp_path / "out")])
    assert missing.exit_code == 2


def test_a_large_scene_has_its_boxes_beside_it(tmp_path: Path) -> None:
    """``sarbench scene`` writes a GeoTIFF of the size and spacing asked for, and its truth."""
    arguments = ["--rows", "600", "--cols", "1400", "--spacing", "8", "--encoding", "linear", "--seed", "3"]
    done = CliRunner().invoke(app, ["scene", "--out", str(tmp_path / "coast.tif"), *arguments])
    assert done.exit_code == 0, done.output
    with rasterio.open(tmp_path / "coast.tif") as raster:
        assert raster.shape == (600, 1400)
        assert raster.res == (8.0, 8.0)
    (truth,) = read_coco(tmp_path / "coast.json")
    assert truth.objects
    arguments = ["--rows", "700", "--cols", "900", "--ships", "5"]
    assert CliRunner().invoke(app, ["scene", "--out", str(tmp_path / "sea.tif"), *arguments]).exit_code == 0
    (truth,) = read_coco(tmp_path / "sea.json")
    assert [seen.category for seen in truth.objects] == ["ship"] * 5


@pytest.mark.parametrize("encoding", [Encoding.DN, Encoding.LINEAR, Encoding.DB])
def test_a_model_sees_the_same_in_a_geotiff_as_in_a_picture(tmp_path: Path, encoding: Encoding) -> None:
    """The gateway renders a simulated GeoTIFF, whatever its numbers are, to the picture that training was made of."""
    for index in range(5):
        scene = simulate_chip(2, index).scene
        write_geotiff(scene, tmp_path / "chip.tif", encoding)
        held = HeldBlob("chip.tif", "1", (tmp_path / "chip.tif").read_bytes())
        raster = decode(held, RENDER, 224, Limits())
        assert isinstance(raster, Raster)
        assert raster.quantity is {"dn": Quantity.AMPLITUDE, "linear": Quantity.INTENSITY}.get(
            encoding.value, Quantity.DECIBEL
        )
        seen, trained = (
            np.asarray(Image.open(BytesIO(picture.data)).convert("L"), float)
            for picture in (develop(raster, RENDER, 224), picture_of(scene, 224))
        )
        assert np.abs(seen - trained).mean() < 1.0
