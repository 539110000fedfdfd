"""Layer files: answers and objects in formats of GIS, with the same typed columns as GeoJSON."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
import shapely
from shapely.geometry import shape

from sarlens.errors import JobFailed
from sarlens.surveys.columns import ACQUISITION_COLUMNS, Column, answer_columns, object_columns
from sarlens.surveys.layer_style import ANSWERS_STYLE, OBJECTS_STYLE, Style, add_default_style
from sarlens.surveys.spec import Output

if TYPE_CHECKING:
    from geopandas import GeoDataFrame


class Layer(NamedTuple):
    """A layer of a file, its columns with or without those of the acquisition, and its style in QGIS."""

    name: str
    columns: Callable[..., tuple[Column, ...]]
    style: Style


ANSWERS_LAYER = Layer("answers", answer_columns, ANSWERS_STYLE)
OBJECTS_LAYER = Layer("objects", object_columns, OBJECTS_STYLE)
_TIME = "datetime64[ms, UTC]"
_DTYPES = {"integer": "Int64", "number": "Float64", "boolean": "boolean", "string": "string", "array": "string"}
"""Nullable types of pandas: a column of integers with a null stays one of integers."""


def write_layer(
    geojson: Path, file_format: Output, layer: Layer = ANSWERS_LAYER, *, extends: Path | None = None
) -> Path:
    """Convert a GeoJSON file to another format next to it, in CRS84.

    The formats are CSV, GeoPackage (OGC 12-128), FlatGeobuf and GeoParquet 1.1.
    With ``extends``, the layer is added to this GeoPackage instead. Layers of a GeoPackage have a default style.

    Raises:
        JobFailed: the file can't be written.
    """
    features = orjson.loads(geojson.read_bytes())["features"]
    converted = extends or geojson.with_suffix(f".{file_format}")
    try:
        if file_format == "csv":
            _write_csv(features, converted, layer)
        else:
            _write_frame(_typed_frame(features, layer), converted, file_format, layer.name, "a" if extends else "w")
            if file_format == "gpkg":
                add_default_style(converted, layer.name, layer.style)
    except (OSError, RuntimeError, ValueError) as error:
        raise JobFailed(f"The {file_format} file can't be written: {type(error).__name__}.") from error
    return converted


def _write_frame(frame: GeoDataFrame, file: Path, file_format: Output, name: str, mode: str) -> None:
    match file_format:
        case "gpkg":
            frame.to_file(file, layer=name, driver="GPKG", mode=mode)
        case "fgb":
            # A spatial index requires that each feature has a geometry.
            frame.to_file(file, layer=name, driver="FlatGeobuf", SPATIAL_INDEX="NO")
        case _:
            frame.to_parquet(file)


def _write_csv(features: list[dict[str, Any]], file: Path, layer: Layer) -> None:
    """Write CSV (RFC 4180) in UTF-8 with the geometry as WKT in the first column; null is an empty field."""
    columns = _columns_of(features, layer)
    with file.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(["WKT", *(column.name for column in columns)])
        for feature in features:
            values = [feature["properties"].get(column.name) for column in columns]
            geometry = feature["geometry"]
            wkt = "" if geometry is None else shapely.to_wkt(shape(geometry), rounding_precision=9)
            writer.writerow([wkt, *map(_csv_text, values)])


def _csv_text(value: Any) -> Any:
    return orjson.dumps(value).decode() if isinstance(value, list | bool) else value


def _columns_of(features: list[dict[str, Any]], layer: Layer) -> tuple[Column, ...]:
    rows = [feature["properties"] for feature in features[:1]]
    return layer.columns(acquisition=any(column.name in row for row in rows for column in ACQUISITION_COLUMNS))


def _typed_frame(features: list[dict[str, Any]], layer: Layer) -> GeoDataFrame:
    """Return features with a type per column, whatever values they have; lists are JSON texts."""
    import geopandas  # noqa: PLC0415  an extra
    import pandas as pd  # noqa: PLC0415

    rows = [feature["properties"] for feature in features]
    columns = _columns_of(features, layer)

    def series(column: Column) -> Any:
        values = [row.get(column.name) for row in rows]
        if column.format == "date-time":
            return pd.to_datetime(pd.Series(values, dtype="string"), format="ISO8601", utc=True).astype(_TIME)
        if column.type == "array":
            values = [None if value is None else orjson.dumps(value).decode() for value in values]
        return pd.array(values, dtype=_DTYPES[column.type])

    data = {column.name: series(column) for column in columns}
    geometries = [None if feature["geometry"] is None else shape(feature["geometry"]) for feature in features]
    return geopandas.GeoDataFrame(data, geometry=geometries, crs="OGC:CRS84")
