"""``sarlens survey``: what it checks before it asks."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from support.cli_runner import error_line

NOWHERE = ("--url", "http://127.0.0.1:9")
ASK = ("survey", "s3://scenes/port.tif", "--question", "How many ships?", *NOWHERE)


def test_an_output_is_required() -> None:
    """Without --out and --detach, the command ends with exit code 2."""
    assert "name a file with --out" in error_line(*ASK, exit_code=2)


def test_the_output_is_checked_first(tmp_path: Path) -> None:
    """An unknown suffix, a missing directory and a directory in place of the file are errors before a request."""
    assert error_line(*ASK, "--out", "ships.doc") == (
        "ships.doc: the suffix of the file must be one of .geojson, .json, .gpkg, .parquet, .fgb, .csv"
    )
    assert error_line(*ASK, "--out", str(tmp_path / "no" / "a.geojson")) == f"the directory {tmp_path}/no doesn't exist"
    (tmp_path / "a.geojson").mkdir()
    assert error_line(*ASK, "--out", str(tmp_path / "a.geojson")) == f"{tmp_path}/a.geojson is a directory"


@pytest.mark.parametrize(("suffix", "package"), [("gpkg", "pyogrio"), ("parquet", "pyarrow"), ("gpkg", "geopandas")])
def test_a_missing_extra_is_reported_before_a_request(
    monkeypatch: pytest.MonkeyPatch, suffix: str, package: str
) -> None:
    """Without the packages of a format, the error names them and the extra."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == package else name)
    assert error_line(*ASK, "--out", f"ships.{suffix}") == (
        f"writing .{suffix} requires {package}, which isn't installed: "
        'run `pip install ".[gis]"` in a checkout of Sarlens, or choose .geojson'
    )


def test_a_polygon_is_read_first(tmp_path: Path) -> None:
    """A polygon file that is missing or holds no polygon is an error before a request."""
    (tmp_path / "bad.json").write_text("[]")
    (tmp_path / "point.json").write_text('{"type": "Point", "coordinates": [0, 0]}')
    out = ("--out", str(tmp_path / "x.geojson"))
    assert "No such file" in error_line(*ASK, *out, "--polygon", str(tmp_path / "no.json"))
    assert "isn't a GeoJSON file" in error_line(*ASK, *out, "--polygon", str(tmp_path / "bad.json"))
    line = error_line(*ASK, *out, "--polygon", str(tmp_path / "point.json"), exit_code=2)
    assert line == "--polygon must be a GeoJSON file with polygons"


def test_a_local_scene_requires_the_local_stack(tmp_path: Path) -> None:
    """Without the gateway's stack in --state, the error says to upload the file and pass its URL."""
    scene = tmp_path / "scene.tif"
    scene.write_bytes(b"II*\0")
    line = error_line(
        *("survey", str(scene), "--question", "Ships?", "--out", str(tmp_path / "x.geojson")),
        *("--state", str(tmp_path / "state"), *NOWHERE),
    )
    assert line.startswith(f"{scene} must be in a bucket that the gateway at http://127.0.0.1:9 reads: upload it")
