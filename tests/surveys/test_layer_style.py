"""Styles: QML whose rules select each answer as stated, and the table of default styles in a GeoPackage."""

from __future__ import annotations

import json
import re
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import fromstring

import pytest

from sarlens.surveys.columns import value_columns
from sarlens.surveys.layer_file import ANSWERS_LAYER, OBJECTS_LAYER, Layer, write_layer
from sarlens.surveys.layer_style import to_qml

POINT = {"type": "Point", "coordinates": [3.0, 45.0]}


def features(folder: Path, name: str, rows: list[dict[str, Any]]) -> Path:
    """Write a GeoJSON file with one point per row."""
    found = [{"type": "Feature", "geometry": POINT, "properties": row} for row in rows]
    file = folder / f"{name}.geojson"
    file.write_text(json.dumps({"type": "FeatureCollection", "features": found}))
    return file


def answers(*values: Any) -> list[dict[str, Any]]:
    """Return the properties of answers: booleans, integers and texts, or a failed tile for None."""
    types = {bool: "boolean", int: "integer", str: "text", type(None): "integer"}
    return [
        {"type": types[type(value)], **value_columns(types[type(value)], value)}
        | ({"error": "timeout"} if value is None else {})
        for value in values
    ]


@pytest.mark.parametrize(("layer", "kind", "number"), [(ANSWERS_LAYER, "fill", "2"), (OBJECTS_LAYER, "marker", "0")])
def test_each_rule_has_a_symbol_of_its_color(layer: Layer, kind: str, number: str) -> None:
    """The QML is XML with one symbol of the layer's geometry per rule, and filters name columns of the layer."""
    root = fromstring(to_qml(layer.style))
    rules, symbols = root.findall("renderer-v2/rules/rule"), root.findall("renderer-v2/symbols/symbol")
    assert [rule.get("symbol") for rule in rules] == [symbol.get("name") for symbol in symbols]
    assert len(rules) == len(layer.style.rules) == len({rule.get("key") for rule in rules})
    assert {symbol.get("type") for symbol in symbols} == {kind}
    colors = [symbol.findall("layer/Option/Option[@name='color']")[0].get("value") for symbol in symbols]
    assert colors == [rule.color for rule in layer.style.rules]
    assert all(len(color.split(",")) == 4 and max(map(int, color.split(","))) <= 255 for color in colors if color)
    assert root.findtext("layerGeometryType") == number
    named = {name for rule in rules for name in re.findall(r'"(\w+)"', rule.get("filter") or "")}
    assert named <= {column.name for column in layer.columns()}
    assert named == ({"error", "yes", "count"} if layer is ANSWERS_LAYER else {"source"})


def test_each_answer_follows_one_rule(tmp_path: Path) -> None:
    """The filters, which are SQL too, select 3 yes, 1 no, each count in its class, the failed tile, and no text."""
    rows = answers(True, True, True, False, 0, 1, 2, 3, 10, 11, 99, "Open sea", None)
    file = write_layer(features(tmp_path, "answers", rows), "gpkg")
    selected: Counter[str] = Counter()
    with closing(sqlite3.connect(file)) as database:
        for rule in ANSWERS_LAYER.style.rules:
            if rule.filter != "ELSE":
                ((selected[rule.label],),) = database.execute(f"SELECT count(*) FROM answers WHERE {rule.filter}")
    expected = {"failed": 1, "yes": 3, "no": 1, "0": 1, "1 to 2": 2, "3 to 10": 2, "more than 10": 2}
    assert selected == expected
    assert sum(expected.values()) == len(rows) - 1


def test_a_geopackage_has_one_default_style_per_layer(tmp_path: Path) -> None:
    """Answers and objects each have their QML as the default style of their geometry column; other files have none."""
    answers_file = features(tmp_path, "answers", answers(5))
    objects_file = features(tmp_path, "objects", [{"source": source} for source in ("both", "model", "cfar", "cfar")])
    file = write_layer(answers_file, "gpkg")
    write_layer(objects_file, "gpkg", OBJECTS_LAYER, extends=file)
    query = "SELECT f_table_catalog, f_table_schema, f_table_name, f_geometry_column, useAsDefault, styleQML "
    with closing(sqlite3.connect(file)) as database:
        styles = database.execute(query + "FROM layer_styles ORDER BY id").fetchall()
        contents = dict(database.execute("SELECT table_name, data_type FROM gpkg_contents"))
        counts = [
            database.execute(f"SELECT count(*) FROM objects WHERE {rule.filter}").fetchone()[0]
            for rule in OBJECTS_LAYER.style.rules
        ]
    assert styles == [("", "", layer.name, "geom", 1, to_qml(layer.style)) for layer in (ANSWERS_LAYER, OBJECTS_LAYER)]
    assert contents == {"answers": "features", "objects": "features", "layer_styles": "attributes"}
    assert counts == [1, 1, 2]
