"""Layer files: a column of one type for each property, in every format."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import geopandas
import pytest

from sarlens.errors import JobFailed
from sarlens.surveys.columns import answer_columns, value_columns
from sarlens.surveys.layer_file import write_layer

TIME = "2026-11-24T09:30:00.125+00:00"
POINT = {"type": "Point", "coordinates": [3.0, 45.0]}


def write_features(folder: Path, *properties: dict[str, Any]) -> Path:
    """Write a GeoJSON file with one point per feature."""
    features = [{"type": "Feature", "geometry": POINT, "properties": fields} for fields in properties]
    file = folder / "answers.geojson"
    file.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return file


def answer(answer_type: str, value: Any, **more: Any) -> dict[str, Any]:
    """Return the properties of an answer."""
    return {"tile": 1, "type": answer_type, **value_columns(answer_type, value), "answered_at": TIME, **more}


def read(file: Path) -> Any:
    """Read a file."""
    return geopandas.read_parquet(file) if file.suffix == ".parquet" else geopandas.read_file(file)


MIXED: list[tuple[str, Any]] = [
    ("boolean", True),
    ("text", "Open sea"),
    ("integer", 5),
    ("position", "top"),
    ("class", "ship"),
]
FORMATS: list[Any] = ["gpkg", "parquet", "fgb"]


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize("first", range(len(MIXED)))
def test_each_type_has_a_column(tmp_path: Path, file_format: Any, first: int) -> None:
    """Answers of five types in any order keep their values, each in a column of its type."""
    mixed = [*MIXED[first:], *MIXED[:first]]
    frame = read(write_layer(write_features(tmp_path, *(answer(*row) for row in mixed)), file_format))
    columns = value_columns("text", None)
    for row, (answer_type, value) in zip(frame.to_dict("records"), mixed, strict=True):
        (column,) = (name for name, other in value_columns(answer_type, value).items() if other is not None)
        assert row[column] == value
        assert all(
            row[name] is None or row[name] != row[name] or "NA" in repr(row[name]) for name in columns if name != column
        )
    assert frame["count"].dtype.kind in "if"
    assert frame["answered_at"].dtype.kind == "M"
    assert str(frame["text"].dtype).lower().startswith("str")
    assert [column.name for column in answer_columns(acquisition=False)] == [*frame.columns][:-1]


@pytest.mark.parametrize("file_format", FORMATS)
def test_columns_have_types(tmp_path: Path, file_format: Any) -> None:
    """Counts are integers, times are UTC times to the millisecond, and lists are JSON texts."""
    boxes = [{"type": "Polygon", "coordinates": []}]
    rows = (answer("integer", 2, boxes=boxes), answer("integer", 3, item="S1A", relative_orbit=7, datetime=TIME))
    frame = read(write_layer(write_features(tmp_path, *reversed(rows)), file_format))
    assert frame["count"].tolist() == [3, 2]
    assert frame["count"].dtype.kind == "i"
    assert [value.isoformat(timespec="milliseconds") for value in frame["answered_at"]] == [TIME, TIME]
    assert json.loads(frame["boxes"][1]) == boxes
    assert (frame["relative_orbit"][0], frame["datetime"][0].isoformat(timespec="milliseconds")) == (7, TIME)


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_survey_without_answers_has_all_columns(tmp_path: Path, file_format: Any) -> None:
    """A file without features has the columns of one with features."""
    frame = read(write_layer(write_features(tmp_path), file_format))
    assert len(frame) == 0
    assert [column.name for column in answer_columns(acquisition=False)] == [*frame.columns][:-1]


def test_csv_has_the_footprint_as_wkt(tmp_path: Path) -> None:
    """CSV has the columns of the other formats after the WKT; null is empty, and lists are JSON texts."""
    rows = (answer("boolean", True, question='A "quoted", one?'), answer("integer", 5, boxes=[POINT]))
    file = write_layer(write_features(tmp_path, *rows), "csv")
    first, second = csv.DictReader(file.read_text().splitlines())
    assert [*first] == ["WKT", *(column.name for column in answer_columns(acquisition=False))]
    assert (first["WKT"], first["yes"], first["count"], first["question"]) == (
        "POINT (3 45)",
        "true",
        "",
        'A "quoted", one?',
    )
    assert (second["yes"], second["count"], json.loads(second["boxes"])) == ("", "5", [POINT])


def test_features_without_a_geometry_are_kept(tmp_path: Path) -> None:
    """A tile without a position is a row in every format."""
    file = write_features(tmp_path, answer("integer", 1), answer("integer", 2))
    document = json.loads(file.read_text())
    document["features"][1]["geometry"] = None
    for file_format in FORMATS:
        file.write_text(json.dumps(document))
        frame = read(write_layer(file, file_format))
        assert frame["count"].tolist() == [1, 2]
        assert frame.geometry.isna().tolist() == [False, True]


def test_a_failed_conversion_is_reported_without_its_path(tmp_path: Path) -> None:
    """A file that can't be written raises JobFailed with the format."""
    file = write_features(tmp_path, answer("integer", 1))
    (tmp_path / "answers.parquet").mkdir()
    with pytest.raises(JobFailed, match=r"^The parquet file can't be written: \w+\.$"):
        write_layer(file, "parquet")
