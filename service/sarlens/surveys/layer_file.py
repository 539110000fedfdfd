"""Layer files: answers and objects as GeoPackage or GeoParquet, with the same typed columns as GeoJSON."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from sarlens.errors import JobFailed
from sarlens.surveys.columns import ACQUISITION_COLUMNS, Column, answer_columns, object_columns
from sarlens.surveys.spec import Output

if TYPE_CHECKING:
    from geopandas import GeoDataFrame


class Layer(NamedTuple):
    """A layer of a file, and its columns with or without those of the acquisition."""

    name: str
    columns: Callable[..., tuple[Column, ...]]


ANSWERS_LAYER = Layer("answers", answer_columns)
OBJECTS_LAYER = Layer("objects", object_columns)
_TIME = "datetime64[ms, UTC]"
_DTYPES = {"integer": "Int64", "number": "Float64", "boolean": "boolean", "string": "string", "array": "string"}
"""Nullable types of pandas: a column of integers with a null stays one of integers."""


def write_layer(
    geojson: Path, file_format: Output, layer: Layer = ANSWERS_LAYER, *, extends: Path | None = None
) -> Path:
    """Convert a GeoJSON file to a GeoPackage (OGC 12-128) or GeoParquet 1.1 file next to it, in CRS84.

    With ``extends``, the layer is added to this GeoPackage instead.

    Raises:
        JobFailed: the file can't be written.
    """
    frame = _typed_frame(orjson.loads(geojson.read_bytes())["features"], layer)
    converted = extends or geojson.with_suffix(f".{file_format}")
    try:
        if file_format == "gpkg":
            frame.to_file(converted, layer=layer.name, driver="GPKG", mode="a" if extends else "w")
        else:
            frame.to_parquet(converted)
    except (OSError, RuntimeError, ValueError) as error:
        raise JobFailed(f"The {file_format} file can't be written: {type(error).__name__}.") from error
    return converted


def _typed_frame(features: list[dict[str, Any]], layer: Layer) -> GeoDataFrame:
    """Return features with a type per column, whatever values they have; lists are JSON texts."""
    import geopandas  # noqa: PLC0415  an extra
    import pandas as pd  # noqa: PLC0415
    from shapely.geometry import shape  # noqa: PLC0415

    rows = [feature["properties"] for feature in features]
    has_acquisition = any(column.name in row for row in rows[:1] for column in ACQUISITION_COLUMNS)
    columns = layer.columns(acquisition=has_acquisition)

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
