"""The commands ``sarbench scene`` and ``sarbench questions``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import rasterio
from typer.testing import CliRunner

from sarbench.cli import app
from sarbench.simulate.coco import read_coco


def coco(**changes: Any) -> dict[str, Any]:
    """Return an annotation file in the format of SARDet-100K."""
    return {
        "images": [{"id": 7, "file_name": "0000007.jpg", "height": 512, "width": 512}],
        "annotations": [{"id": 1, "image_id": 7, "category_id": 5, "bbox": [56.0, 191.0, 112.0, 122.0], "area": 1.0}],
        "categories": [{"id": 0, "name": "ship"}, {"id": 5, "name": "Harbor"}],
    } | changes


def test_questions_writes_texts_from_coco_boxes(tmp_path: Path) -> None:
    """``sarbench questions`` writes questions and captions from COCO boxes; a missing file gives exit code 1."""
    path = tmp_path / "boxes.json"
    path.write_text(json.dumps(coco()))
    done = CliRunner().invoke(app, ["questions", str(path), "--out", str(tmp_path / "out"), "--split", "test"])
    assert done.exit_code == 0, done.output
    rows = (tmp_path / "out" / "Text" / "VQA" / "test" / "SARVQA1_test.csv").read_text()
    assert '"What is the object present in the area [56.0, 191.0, 112.0, 122.0]?",harbor' in rows
    missing = CliRunner().invoke(app, ["questions", str(tmp_path / "none.json"), "--out", str(tmp_path / "out")])
    assert missing.exit_code == 1


def test_scene_writes_a_geotiff_and_its_boxes(tmp_path: Path) -> None:
    """``sarbench scene`` writes a GeoTIFF of the requested size and spacing, and its boxes."""
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
    assert [labeled.category for labeled in truth.objects] == ["ship"] * 5
