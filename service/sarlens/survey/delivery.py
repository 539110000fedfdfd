"""Results as files: GeoJSON as it comes, GeoPackage and GeoParquet through geopandas, written to S3 where asked."""

from __future__ import annotations

import asyncio
import importlib.util
import tempfile
from collections.abc import AsyncIterator, Collection
from pathlib import Path
from typing import Any, Protocol

import orjson

from sarlens.errors import BadRequest, JobsUnavailable, SourceRefused
from sarlens.survey.commission import Commission, Output
from sarlens.survey.features import Totals
from sarlens.survey.job import Job
from sarlens.survey.store import Answers, Store

MEDIA_TYPES: dict[Output, str] = {
    "geojson": "application/geo+json",
    "gpkg": "application/geopackage+sqlite3",
    "parquet": "application/vnd.apache.parquet",
}
_PAGE = 1000
_TIMES = {"answered_at", "datetime", "start_datetime", "end_datetime"}


class Sink(Protocol):
    """Where results are written."""

    async def put(self, url: str, file: Path) -> None:
        """Write a file to an ``s3://`` URL.

        Raises:
            SarlensError: the store refuses it.
        """


class Delivery:
    """Writes the results of jobs; ``places`` are those below which they may be written."""

    def __init__(self, store: Store, sink: Sink, places: Collection[str]) -> None:
        self._store = store
        self._sink = sink
        self._places = places

    def check(self, commission: Commission) -> None:
        """Refuse early what could not be written in the end.

        Raises:
            SourceRefused: results may not be written there.
            BadRequest: the format cannot be written here.
        """
        check_format(commission.format)
        url = commission.output
        if url is None:
            return
        below = (place if place.endswith("/") else f"{place}/" for place in self._places)
        if ".." in url or not any(url.startswith(place) and len(url) > len(place) for place in below):
            raise SourceRefused("Results are not written to that place here.", param="output")

    async def deliver(self, job: Job) -> None:
        """Write the result of a job where its commission says.

        Raises:
            SarlensError: the store refuses it.
        """
        commission = Commission.model_validate_json(job.request)
        if commission.output is None:
            return
        with tempfile.TemporaryDirectory(prefix="sarlens-result-") as folder:
            await self._sink.put(commission.output, await self.file(job, commission.format, Path(folder)))

    async def file(self, job: Job, kind: Output, folder: Path) -> Path:
        """The result as a file in a folder.

        Raises:
            BadRequest: the format cannot be written here.
        """
        check_format(kind)
        features = folder / "answers.geojson"
        with features.open("wb") as out:
            async for piece in self.pieces(job):
                await asyncio.to_thread(out.write, piece)
        if kind == "geojson":
            return features
        return await asyncio.to_thread(convert, features, kind)

    async def pieces(self, job: Job) -> AsyncIterator[bytes]:
        """A FeatureCollection with a ``survey`` member, RFC 7946, piece by piece; memory does not grow with it."""
        yield b'{"type":"FeatureCollection","features":['
        totals, after, comma = Totals(), 0, b""
        while found := await self._store.answers(Answers(job=job.id, after=after, limit=_PAGE)):
            after = found[-1][0]
            for _, feature in found:
                totals.add(orjson.loads(feature))
            yield comma + b",".join(feature.encode() for _, feature in found)
            comma = b","
        yield b'],"survey":' + orjson.dumps(summary(job) | {"totals": totals.document()}) + b"}"


def summary(job: Job) -> dict[str, Any]:
    """What there is to say of a job's tiles."""
    counts = job.counts
    told: dict[str, Any] = {"id": job.id, "status": job.status, "progress": job.progress, "tiles": job.tiles}
    told |= {"answered": counts.answered, "blank": counts.blank, "failed": counts.failed}
    told |= {"model": job.model, "image_version": job.version}
    if job.code:
        told["error"] = {"code": job.code, "message": job.message}
    return told


def check_format(kind: Output) -> None:
    """Raise BadRequest where a format needs what is not installed."""
    if kind != "geojson" and importlib.util.find_spec("geopandas") is None:
        raise BadRequest(f"{kind} is not written here: it needs sarlens[gis]. Ask for geojson.", param="format")


def convert(features: Path, kind: Output) -> Path:
    """A GeoJSON file as a GeoPackage (OGC 12-128) or GeoParquet 1.1 file beside it, in CRS84.

    Raises:
        JobsUnavailable: it cannot be written.
    """
    import geopandas  # noqa: PLC0415 - an extra

    collection = orjson.loads(features.read_bytes())
    rows = collection["features"]
    for row in rows:
        for name, value in row["properties"].items():
            if isinstance(value, list):
                row["properties"][name] = orjson.dumps(value).decode()
    frame = geopandas.GeoDataFrame.from_features(rows, crs="OGC:CRS84")
    # A column has one type: values of several kinds of questions are told apart by their texts.
    if "value" in frame and len({type(value) for value in frame["value"] if value is not None}) > 1:
        frame["value"] = frame["value"].map(lambda value: None if value is None else str(value))
    for name in _TIMES & set(frame):
        frame[name] = frame[name].astype("datetime64[ms, UTC]")
    out = features.with_suffix(f".{kind}")
    try:
        if kind == "gpkg":
            frame.to_file(out, layer="answers", driver="GPKG")
        else:
            frame.to_parquet(out)
    except (OSError, RuntimeError, ValueError) as error:
        raise JobsUnavailable(f"The result cannot be written as {kind}: {type(error).__name__}.") from error
    return out
