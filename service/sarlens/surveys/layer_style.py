"""Styles of layers as QGIS Markup Language (QML), and the table ``layer_styles`` from which QGIS reads them.

QGIS applies the default style in this table when a layer of the GeoPackage is added. Sources: ``layer_styles`` is the
table that QGIS itself writes with **Save as Default > In Datasource Database**; the elements of QML are those of its
rule-based renderer.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Literal, NamedTuple
from xml.etree.ElementTree import Element, SubElement, tostring

_TABLE = """
CREATE TABLE IF NOT EXISTS layer_styles (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, f_table_catalog TEXT(256), f_table_schema TEXT(256),
  f_table_name TEXT(256), f_geometry_column TEXT(256), styleName TEXT(30), styleQML TEXT, styleSLD TEXT,
  useAsDefault BOOLEAN, description TEXT, owner TEXT(30), ui TEXT(30),
  update_time DATETIME DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')))
"""
_REGISTER = """
INSERT OR IGNORE INTO gpkg_contents (table_name, data_type, identifier)
VALUES ('layer_styles', 'attributes', 'layer_styles')
"""
_INSERT = """
INSERT INTO layer_styles (f_table_catalog, f_table_schema, f_table_name, f_geometry_column, styleName, styleQML,
  styleSLD, useAsDefault, description, owner)
SELECT '', '', table_name, column_name, ?, ?, '', 1, ?, '' FROM gpkg_geometry_columns WHERE table_name = ?
"""


class Rule(NamedTuple):
    """Features that a filter selects, in one color."""

    label: str
    filter: str
    """Expression of QGIS; ``ELSE`` selects the features that no other rule does."""
    color: str
    """Red, green, blue and alpha from 0 to 255, separated by commas."""


class Style(NamedTuple):
    """The rules of a layer, of which a feature follows the first ones that select it."""

    geometry: Literal["polygon", "point"]
    rules: tuple[Rule, ...]


ANSWERS_STYLE = Style(
    "polygon",
    (
        Rule("failed", '"error" IS NOT NULL', "99,99,99,200"),
        Rule("yes", '"yes"', "217,95,2,150"),
        Rule("no", 'NOT "yes"', "255,255,255,40"),
        Rule("0", '"count" = 0', "255,255,255,40"),
        Rule("1 to 2", '"count" BETWEEN 1 AND 2', "254,217,118,150"),
        Rule("3 to 10", '"count" BETWEEN 3 AND 10', "253,141,60,150"),
        Rule("more than 10", '"count" > 10', "189,0,38,150"),
        Rule("other answers", "ELSE", "158,202,225,90"),
    ),
)
"""Footprints of tiles: failed ones, yes and no, and counts in four classes."""

OBJECTS_STYLE = Style(
    "point",
    (
        Rule("model and detector", "\"source\" = 'both'", "0,109,44,255"),
        Rule("model", "\"source\" = 'model'", "217,95,2,255"),
        Rule("detector", "\"source\" = 'cfar'", "117,112,179,255"),
    ),
)
"""Objects by their source."""

_LAYERS = {
    "polygon": ("fill", "SimpleFill", {"style": "solid", "outline_color": "60,60,60,255", "outline_width": "0.2"}, "2"),
    "point": ("marker", "SimpleMarker", {"name": "circle", "size": "2.6", "outline_color": "255,255,255,255"}, "0"),
}
"""Type of the symbol, class and options of its layer, and QGIS's number of the geometry type."""


def to_qml(style: Style) -> str:
    """Return a style as QML with a rule-based renderer; symbol N belongs to rule N."""
    symbol_type, layer_class, options, geometry_number = _LAYERS[style.geometry]
    root = Element("qgis", version="3.22.0", styleCategories="Symbology")
    renderer = SubElement(
        root, "renderer-v2", type="RuleRenderer", symbollevels="0", forceraster="0", enableorderby="0"
    )
    rules, symbols = SubElement(renderer, "rules", key="sarlens"), SubElement(renderer, "symbols")
    for number, rule in enumerate(style.rules):
        name = str(number)
        SubElement(rules, "rule", key=f"sarlens-{name}", filter=rule.filter, symbol=name, label=rule.label)
        symbol = SubElement(symbols, "symbol", type=symbol_type, name=name, alpha="1", clip_to_extent="1")
        layer = SubElement(symbol, "layer", attrib={"class": layer_class, "enabled": "1", "locked": "0", "pass": "0"})
        values = SubElement(layer, "Option", type="Map")
        for option, value in {"color": rule.color, **options}.items():
            SubElement(values, "Option", type="QString", name=option, value=value)
    SubElement(root, "layerGeometryType").text = geometry_number
    return "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n" + tostring(root, encoding="unicode")


def add_default_style(geopackage: Path, layer: str, style: Style) -> None:
    """Add the default style of a layer to a GeoPackage.

    Raises:
        OSError: the file can't be written.
    """
    try:
        with closing(sqlite3.connect(geopackage)) as database, database:
            database.execute(_TABLE)
            database.execute(_REGISTER)
            database.execute(_INSERT, (layer, to_qml(style), f"Default style of {layer}", layer))
    except sqlite3.Error as error:
        raise OSError("The style can't be written.") from error
