"""Result exporter: allowed outputs, GeoJSON in pages, and conversion for GIS."""

from __future__ import annotations

import asyncio
import importlib.util
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from jobs.conftest import add_job
from sarlens.errors import (
    BadRequest,
    OutputExists,
    PermissionDenied,
    SarlensError,
    SourceNotAllowed,
    SourceUnavailable,
    Timeout,
)
from sarlens.jobs.batch_writer import TileResult
from sarlens.jobs.group_writer import JobNotActive
from sarlens.jobs.models import Job
from sarlens.jobs.store import JobStore
from sarlens.surveys import exporter as exporter_module
from sarlens.surveys import retry
from sarlens.surveys.exporter import ResultExporter, survey_summary
from sarlens.surveys.spec import SurveySpec

PREFIXES = ("s3://results/a", "s3://other/")


class FakeWriter:
    """Keeps the bytes of each URL, and fails with ``errors`` first."""

    def __init__(self, *errors: SarlensError) -> None:
        self.objects: dict[str, bytes] = {}
        self.writes: list[dict[str, Any]] = []
        self.checked: list[tuple[str, bool]] = []
        self._errors = list(errors)

    async def check(self, url: str, *, overwrite: bool) -> None:
        """Check a URL."""
        self.checked.append((url, overwrite))

    async def put(self, url: str, file: Path, **more: Any) -> None:
        """Write a file."""
        if self._errors:
            raise self._errors.pop(0)
        self.objects[url] = await asyncio.to_thread(file.read_bytes)
        self.writes.append(more)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[JobStore]:
    """A store in a file."""
    job_store = JobStore(f"sqlite:///{tmp_path / 'jobs.db'}")
    yield job_store
    await job_store.close()


async def add_answers(store: JobStore, count: int) -> Job:
    """Add a job with answers whose values are 0, 1, 2, …"""
    job = await add_job(store, tiles=count, version="v1", model="nano")
    for tile in range(count):
        properties = {"question": "Q", "type": "integer", "count": tile, "core_share": 1.0}
        feature = {"type": "Feature", "id": f"{job.id}.{tile}.0", "geometry": None, "properties": properties}
        await store.write_tile(job.id, TileResult(tile, "answered", [(feature, None)]))
    stored = await store.find(job.id)
    assert stored is not None
    return stored


def make_spec(**fields: Any) -> SurveySpec:
    """Return a specification."""
    return SurveySpec(url="s3://scenes/x.tif", **fields)


OUTSIDE = [
    "s3://results/a",
    "s3://results/ab/x.geojson",
    "s3://results/%61b/x.geojson",
    "s3://scenes/x.geojson",
]
MALFORMED = [
    "s3://results/a/",
    "s3://results/a/../x.geojson",
    "s3://results/a/%2e%2e/x.geojson",
    "s3://results/a/%2E/x.geojson",
    "s3://results/a//x.geojson",
    "s3://results/a/x%2F%2Fy.geojson",
    "s3://results/a/x/",
    "s3://results/a/%00.geojson",
    "s3://results/a/%0d%0a",
    "s3://results/a/100%.geojson",
    "s3://results/a/%ff.geojson",
    "s3://results/a/x.geojson#part",
    "s3://results/a/x.geojson?versionId=1",
    "s3://results/a/x.geojson?acl",
    "s3://RESULTS/a/x.geojson",
    "s3://results/a/" + "x" * 1023,
    "s3://results/a/" + "%C3%A4" * 512,
]


def make_exporter(writer: FakeWriter, prefixes: tuple[str, ...] = PREFIXES) -> ResultExporter:
    """Return an exporter without jobs."""
    return ResultExporter(JobStore("sqlite:///x.db"), writer, prefixes)


@pytest.mark.parametrize(
    ("output", "canonical"),
    [
        ("s3://results/a/x.geojson", "s3://results/a/x.geojson"),
        ("s3://other/two%20words.geojson", "s3://other/two words.geojson"),
        ("s3://results/%61/x.geojson", "s3://results/a/x.geojson"),
        ("s3://results/a/" + "x" * 1022, "s3://results/a/" + "x" * 1022),
    ],
)
async def test_an_output_has_a_canonical_url(output: str, canonical: str) -> None:
    """An output below a prefix is checked at the store, and its decoded URL identifies the object."""
    writer = FakeWriter()
    assert await make_exporter(writer).check(make_spec(output=output, overwrite=True), None) == canonical
    assert writer.checked == [(output, True)]


@pytest.mark.parametrize(("outputs", "error_cls"), [(OUTSIDE, SourceNotAllowed), (MALFORMED, BadRequest)])
async def test_an_output_that_cannot_be_written_is_rejected(outputs: list[str], error_cls: type[SarlensError]) -> None:
    """An output outside the prefixes, and one that names no object, are a 400 of the field output without a request."""
    writer = FakeWriter()
    for output in outputs:
        with pytest.raises(error_cls) as raised:
            await make_exporter(writer).check(make_spec(output=output), None)
        assert type(raised.value) is error_cls, output
        assert raised.value.param == "output"
        assert "image" not in raised.value.message
    assert writer.checked == []


async def test_a_key_writes_below_its_own_prefixes() -> None:
    """An output must be below a prefix of the key and below one of the gateway."""
    writer = FakeWriter()
    key_prefixes = ("s3://results/a/gis/", "s3://elsewhere")
    exporter = make_exporter(writer)
    spec = make_spec(output="s3://results/a/gis/x.geojson")
    assert await exporter.check(spec, key_prefixes) == spec.output
    for output in ("s3://results/a/other/x.geojson", "s3://results/a/gis2/x.geojson", "s3://other/x.geojson"):
        with pytest.raises(PermissionDenied) as raised:
            await exporter.check(make_spec(output=output), key_prefixes)
        assert raised.value.message == (
            "The API key doesn't allow this output. It allows: s3://results/a/gis/, s3://elsewhere."
        )
    with pytest.raises(SourceNotAllowed):
        await exporter.check(make_spec(output="s3://elsewhere/x.geojson"), key_prefixes)
    with pytest.raises(PermissionDenied, match="It allows: none"):
        await exporter.check(spec, ())
    assert len(writer.checked) == 1


async def test_no_output_is_allowed_without_prefixes() -> None:
    """Without prefixes, every output is rejected, and a survey without an output isn't."""
    exporter = make_exporter(FakeWriter(), ())
    assert await exporter.check(make_spec(), None) is None
    with pytest.raises(SourceNotAllowed):
        await exporter.check(make_spec(output="s3://results/x"), None)


async def test_a_format_requires_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without geopandas, GeoPackage and GeoParquet are rejected before the survey starts, and GeoJSON is not."""
    exporter = make_exporter(FakeWriter())
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    await exporter.check(make_spec(), None)
    await exporter.check(make_spec(format="csv"), None)
    for file_format in ("gpkg", "parquet", "fgb"):
        with pytest.raises(BadRequest, match=f"The format {file_format} requires the extra gis"):
            await exporter.check(make_spec(format=file_format), None)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5])
async def test_geojson_is_streamed_in_pages(store: JobStore, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Pages of two features are one valid FeatureCollection with all features and their totals."""
    monkeypatch.setattr(exporter_module, "_PAGE_SIZE", 2)
    job = await add_answers(store, count)
    exporter = ResultExporter(store, FakeWriter(), PREFIXES)
    chunks = [chunk async for chunk in exporter.iter_geojson(job)]
    assert len(chunks) == 2 + -(-count // 2)
    document = json.loads(b"".join(chunks))
    assert [feature["properties"]["count"] for feature in document["features"]] == list(range(count))
    survey = document["survey"]
    assert (survey["id"], survey["tiles"], survey["answered"]) == (job.id, count, count)
    assert [total["sum"] for total in survey["totals"]] == ([sum(range(count))] if count else [])


async def test_a_result_is_written_to_its_output(store: JobStore) -> None:
    """The exported file has all features and the status successful, though the job runs. Its style is beside it."""
    job, writer = await add_answers(store, 3), FakeWriter()
    exporter = ResultExporter(store, writer, PREFIXES)
    await exporter.export(job.id, make_spec())
    assert writer.objects == {}
    await exporter.export(job.id, make_spec(output="s3://results/a/x.geojson"))
    document = json.loads(writer.objects["s3://results/a/x.geojson"])
    assert writer.writes == [
        {"job_id": job.id, "media_type": "application/geo+json", "overwrite": False},
        {"job_id": job.id, "media_type": "application/xml", "overwrite": False},
    ]
    assert b"<qgis" in writer.objects["s3://results/a/x.qml"]
    assert len(document["features"]) == 3
    assert (document["survey"]["status"], document["survey"]["progress"]) == ("successful", 100)


async def test_an_export_is_retried_while_the_store_fails(store: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A passing error of the object store is retried; an output that exists meanwhile ends the export."""
    monkeypatch.setattr(retry, "FIRST_PAUSE_S", 0.01)
    job, spec = await add_answers(store, 1), make_spec(output="s3://results/a/x")
    writer = FakeWriter(SourceUnavailable("away"), Timeout("slow"))
    await ResultExporter(store, writer, PREFIXES, retry_timeout_s=60).export(job.id, spec)
    assert list(writer.objects) == ["s3://results/a/x", "s3://results/a/x.qml"]
    writer = FakeWriter(OutputExists("exists"))
    with pytest.raises(OutputExists):
        await ResultExporter(store, writer, PREFIXES, retry_timeout_s=60).export(job.id, spec)
    assert writer.writes == []


async def test_a_deleted_job_is_not_exported(store: JobStore) -> None:
    """Export of a deleted job raises JobNotActive and writes nothing."""
    writer = FakeWriter()
    with pytest.raises(JobNotActive):
        await ResultExporter(store, writer, PREFIXES).export("none", make_spec(output="s3://results/a/x"))
    assert writer.objects == {}


def test_a_summary_has_the_error_of_a_failed_job() -> None:
    """Only a failed job has an error."""
    assert "error" not in survey_summary(Job("survey", "", "{}"))
    failed = Job("survey", "", "{}", code="timeout", message="The store timed out.")
    assert survey_summary(failed)["error"] == {"code": "timeout", "message": "The store timed out."}
