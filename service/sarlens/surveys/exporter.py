"""Result exporter: answers as GeoJSON or another format of GIS, streamed, as a file, or written to S3."""

from __future__ import annotations

import asyncio
import importlib.util
import tempfile
from collections.abc import AsyncIterator, Collection
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

import orjson

from sarlens.errors import BadRequest, OutputExists, PermissionDenied, SourceNotAllowed
from sarlens.imagery.sources.s3_url import S3Url
from sarlens.jobs.filters import AnswerFilter
from sarlens.jobs.group_writer import JobNotActive
from sarlens.jobs.models import Job, JobStatus
from sarlens.jobs.store import JobStore
from sarlens.surveys.features import Totals
from sarlens.surveys.layer_file import ANSWERS_LAYER, OBJECTS_LAYER, Layer, write_layer
from sarlens.surveys.layer_style import to_qml
from sarlens.surveys.retry import retry_transient
from sarlens.surveys.spec import Output, SurveySpec

MEDIA_TYPES: dict[Output, str] = {
    "geojson": "application/geo+json",
    "gpkg": "application/geopackage+sqlite3",
    "parquet": "application/vnd.apache.parquet",
    "fgb": "application/flatgeobuf",
    "csv": "text/csv",
}
STYLED_BESIDE: tuple[Output, ...] = ("geojson", "fgb", "parquet")
"""Formats whose style for QGIS is a file of the same name with the suffix ``.qml``. A GeoPackage has it inside."""
_QML = "application/xml"
_WITHOUT_EXTRA = ("geojson", "csv")
_PAGE_SIZE = 1000
_COLLECTION = b'{"type":"FeatureCollection","features":['


class ResultWriter(Protocol):
    """Writes files to an object store."""

    async def check(self, url: str, *, overwrite: bool) -> None:
        """Check that ``put`` can write to an ``s3://`` URL.

        Raises:
            SarlensError: the store rejects the URL or fails, or an object exists and ``overwrite`` is false.
        """

    async def put(self, url: str, file: Path, *, job_id: str, media_type: str, overwrite: bool) -> None:
        """Write a file to an ``s3://`` URL. A file that the same job wrote earlier stays.

        Raises:
            SarlensError: the store rejects the file or fails, or an object exists and ``overwrite`` is false.
        """


class ResultExporter:
    """Exports the answers of jobs."""

    def __init__(
        self, store: JobStore, writer: ResultWriter, output_prefixes: Collection[str], *, retry_timeout_s: float = 0.0
    ) -> None:
        """Create the exporter.

        Args:
            store: jobs and answers.
            writer: writes results to an object store.
            output_prefixes: URLs such as ``s3://results/surveys``, below which results may be written.
            retry_timeout_s: seconds during which a write is retried while the object store fails.
        """
        self.output_prefixes = output_prefixes
        self._store = store
        self._writer = writer
        self._retry_timeout_s = retry_timeout_s

    async def check(self, spec: SurveySpec, key_prefixes: Collection[str] | None) -> str | None:
        """Check the format and the output of a survey before it starts, and return the canonical URL of the output.

        Args:
            spec: the survey.
            key_prefixes: prefixes that the API key allows, or None for all prefixes of the gateway.

        Raises:
            SourceNotAllowed: the output isn't below a prefix of the gateway.
            PermissionDenied: the output isn't below a prefix of the API key.
            BadRequest: the URL is invalid, or the format requires the ``gis`` extra.
            SarlensError: the output exists, or the store rejects it.
        """
        check_format(spec.format)
        if spec.output is None:
            return None
        output = check_output(spec.output, self.output_prefixes, key_prefixes)
        await self._writer.check(spec.output, overwrite=spec.overwrite)
        return output

    async def export(self, job_id: str, spec: SurveySpec) -> None:
        """Write the result of a job to the output of its specification, if it has one, before the job is successful.

        Raises:
            JobNotActive: the job was deleted.
            SarlensError: the store rejects the file or fails, or the output exists meanwhile.
        """
        url = spec.output
        if url is None:
            return
        job = await self._store.find(job_id)
        if job is None:
            raise JobNotActive(job_id)
        with tempfile.TemporaryDirectory(prefix="sarlens-result-") as folder:
            file = await self.file(replace(job, status=JobStatus.SUCCESSFUL), spec.format, Path(folder))
            media_type = MEDIA_TYPES[spec.format]
            await retry_transient(
                lambda: self._writer.put(url, file, job_id=job_id, media_type=media_type, overwrite=spec.overwrite),
                self._retry_timeout_s,
            )
            if spec.format in STYLED_BESIDE:
                await self._put_style(job_id, spec, Path(folder))

    async def _put_style(self, job_id: str, spec: SurveySpec, folder: Path) -> None:
        """Write the style for QGIS next to the output; an object that is there and may not be replaced stays."""
        url = f"{str(spec.output).removesuffix(PurePosixPath(str(spec.output)).suffix)}.qml"
        file = folder / "style.qml"
        await asyncio.to_thread(file.write_text, to_qml(ANSWERS_LAYER.style))
        with suppress(OutputExists):
            await retry_transient(
                lambda: self._writer.put(url, file, job_id=job_id, media_type=_QML, overwrite=spec.overwrite),
                self._retry_timeout_s,
            )

    async def file(self, job: Job, file_format: Output, folder: Path, layer: Layer = ANSWERS_LAYER) -> Path:
        """Write the answers so far, or the objects, to a file in ``folder``, and return its path.

        A GeoPackage of answers has the objects as a layer of its own.

        Raises:
            BadRequest: the format requires the ``gis`` extra.
            JobFailed: the conversion fails.
        """
        check_format(file_format)
        geojson = await self._write(self._chunks(job, layer), folder / f"{layer.name}.geojson")
        if file_format == "geojson":
            return geojson
        converted = await asyncio.to_thread(write_layer, geojson, file_format, layer)
        if file_format == "gpkg" and layer is ANSWERS_LAYER and has_objects(job):
            objects = await self._write(self.iter_objects(job), folder / "objects.geojson")
            await asyncio.to_thread(write_layer, objects, file_format, OBJECTS_LAYER, extends=converted)
        return converted

    def _chunks(self, job: Job, layer: Layer) -> AsyncIterator[bytes]:
        return self.iter_objects(job) if layer is OBJECTS_LAYER else self.iter_geojson(job)

    async def _write(self, chunks: AsyncIterator[bytes], file: Path) -> Path:
        with file.open("wb") as out:
            async for chunk in chunks:
                await asyncio.to_thread(out.write, chunk)
        return file

    async def page(self, job: Job, limit: int, offset: int) -> bytes:
        """Return a FeatureCollection with up to ``limit`` answers after the first ``offset``, without totals."""
        answers = await self._store.list_answers(AnswerFilter(job=job.id, limit=limit, offset=offset))
        matched = await self._store.count_answers(AnswerFilter(job=job.id))
        document = {
            "type": "FeatureCollection",
            "features": [orjson.Fragment(feature) for _, feature in answers],
            "numberMatched": matched,
            "numberReturned": len(answers),
            "survey": survey_summary(job),
        }
        return await asyncio.to_thread(orjson.dumps, document)

    async def iter_geojson(self, job: Job) -> AsyncIterator[bytes]:
        """Yield a FeatureCollection (RFC 7946) with the members ``survey`` and, if requested, ``objects`` in chunks."""
        totals, after, separator = Totals(), 0, b""
        yield _COLLECTION
        while page := await self._store.list_answers(AnswerFilter(job=job.id, after=after, limit=_PAGE_SIZE)):
            after = page[-1][0]
            for _, feature in page:
                totals.add(orjson.loads(feature))
            yield separator + b",".join(feature.encode() for _, feature in page)
            separator = b","
        end = b"]"
        if has_objects(job):
            yield b'],"objects":'
            async for chunk in self.iter_objects(job, totals):
                yield chunk
            end = b""
        yield end + b',"survey":' + orjson.dumps(survey_summary(job) | {"totals": totals.as_list()}) + b"}"

    async def iter_objects(self, job: Job, totals: Totals | None = None) -> AsyncIterator[bytes]:
        """Yield the objects of a complete survey as a FeatureCollection, and add them to ``totals``."""
        after, separator = 0, b""
        yield _COLLECTION
        while page := await self._store.list_answers(
            AnswerFilter(job=job.id, after=after, limit=_PAGE_SIZE, objects=True)
        ):
            after = page[-1][0]
            if totals is not None:
                for _, feature in page:
                    totals.add_object(orjson.loads(feature))
            yield separator + b",".join(feature.encode() for _, feature in page)
            separator = b","
        yield b"]}"


def check_output(url: str, prefixes: Collection[str], key_prefixes: Collection[str] | None) -> str:
    """Check where a job writes, and return the canonical URL.

    Args:
        url: URL of the output.
        prefixes: prefixes that the gateway allows.
        key_prefixes: prefixes that the API key allows, or None for all prefixes of the gateway.

    Raises:
        SourceNotAllowed: the output isn't below a prefix of the gateway.
        PermissionDenied: the output isn't below a prefix of the API key.
        BadRequest: the URL is invalid.
    """
    output = _canonical_output(url)
    if not _is_below_any(output, prefixes):
        raise SourceNotAllowed("The gateway doesn't write results to this output.", param="output")
    if key_prefixes is not None and not _is_below_any(output, key_prefixes):
        allowed = ", ".join(key_prefixes) or "none"
        raise PermissionDenied(f"The API key doesn't allow this output. It allows: {allowed}.", param="output")
    return output


def _canonical_output(url: str) -> str:
    try:
        s3_url = S3Url.parse(url)
    except BadRequest as error:
        raise BadRequest(f"The output is invalid. {error.message}", param="output") from None
    if s3_url.version is not None:
        raise BadRequest("The output is invalid: it can't name a version.", param="output")
    return str(s3_url)


def _is_below_any(url: str, prefixes: Collection[str]) -> bool:
    folders = (prefix.rstrip("/") + "/" for prefix in prefixes)
    return any(url.startswith(folder) and len(url) > len(folder) for folder in folders)


def has_objects(job: Job) -> bool:
    """Whether a survey was submitted with ``objects``."""
    return bool(orjson.loads(job.request).get("objects"))


def survey_summary(job: Job) -> dict[str, Any]:
    """Return the status and the tile counts of a job as JSON."""
    counts = job.counts
    summary: dict[str, Any] = {"id": job.id, "status": job.status, "progress": job.progress, "tiles": job.tiles}
    summary |= {"answered": counts.answered, "blank": counts.blank, "failed": counts.failed}
    if orjson.loads(job.request).get("gate"):
        summary["skipped"] = counts.skipped
    summary |= {"model": job.model, "image_version": job.version} | tile_summary(job)
    if job.code:
        summary["error"] = {"code": job.code, "message": job.message}
    return summary


def tile_summary(job: Job) -> dict[str, Any]:
    """Return the side of a survey's tiles in pixels, their reduction, and a warning if they are reduced."""
    spec = orjson.loads(job.request)
    if not isinstance(spec.get("tile"), int):
        return {}
    size = {"tile": spec["tile"], "reduction": round(spec.get("reduction", 1.0), 3)}
    if size["reduction"] <= 1:
        return size
    return size | {
        "warning": f"The model sees a tile of {size['tile']} pixels reduced by {size['reduction']:g}, so small objects "
        "can disappear. Without tile, the gateway uses the size that the model sees."
    }


def check_format(file_format: Output) -> None:
    """Raise BadRequest if a format requires an extra that isn't installed."""
    if file_format not in _WITHOUT_EXTRA and importlib.util.find_spec("geopandas") is None:
        raise BadRequest(
            f"The format {file_format} requires the extra gis, which isn't installed. Use geojson or csv.",
            param="format",
        )
