"""COCO bounding boxes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sarbench.errors import DatasetError
from sarbench.simulate.coco import read_coco, write_coco
from sarbench.simulate.ground_truth import Box, GroundTruth, LabeledBox


def coco(**changes: Any) -> dict[str, Any]:
    """Return an annotation file in the format of SARDet-100K."""
    return {
        "images": [{"id": 7, "file_name": "0000007.jpg", "height": 512, "width": 512}],
        "annotations": [{"id": 1, "image_id": 7, "category_id": 5, "bbox": [56.0, 191.0, 112.0, 122.0], "area": 1.0}],
        "categories": [{"id": 0, "name": "ship"}, {"id": 5, "name": "Harbor"}],
    } | changes


def test_sardet_annotations_are_parsed(tmp_path: Path) -> None:
    """Boxes are absolute [x, y, width, height], and category names are case-insensitive."""
    path = tmp_path / "train.json"
    path.write_text(json.dumps(coco()))
    (truth,) = read_coco(path)
    assert truth == GroundTruth("0000007.jpg", 512, 512, (LabeledBox("harbor", Box(56.0, 191.0, 112.0, 122.0)),))


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
def test_invalid_annotations_are_reported(tmp_path: Path, changes: dict[str, Any], complaint: str) -> None:
    """An invalid annotation raises an error that names the file and the location."""
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(coco(**changes)))
    with pytest.raises(DatasetError, match=f"bad.json.*{complaint}"):
        read_coco(path)


@settings(max_examples=200)
@given(st.one_of(st.binary(max_size=60), st.text(max_size=60).map(str.encode), st.just(b"[1, 2]"), st.just(b"{}")))
def test_arbitrary_bytes_never_crash_the_annotation_reader(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    """Any bytes that aren't COCO raise a DatasetError."""
    path = tmp_path_factory.getbasetemp() / "fuzz.json"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match="not COCO"):
        read_coco(path)


def test_coco_round_trip(tmp_path: Path) -> None:
    """Boxes are equal after writing and reading."""
    truths = [GroundTruth("a.png", 9, 8, (LabeledBox("car", Box(1.0, 2.0, 3.5, 4.0)),)), GroundTruth("b.png", 9, 8, ())]
    write_coco(truths, tmp_path / "boxes.json")
    assert read_coco(tmp_path / "boxes.json") == truths
