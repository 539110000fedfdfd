"""Surveys as jobs of a gateway: submit, follow, collect the features, write them as a file."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict

import orjson

from sarlens.client.errors import GatewayError, GatewayUnreachable
from sarlens.client.transport import Transport
from sarlens.surveys.layer_style import ANSWERS_STYLE, OBJECTS_STYLE, to_qml

if TYPE_CHECKING:
    from sarlens.surveys.features import Totals
    from sarlens.surveys.spec import Output

FORMATS: dict[str, Output] = {
    ".geojson": "geojson",
    ".json": "geojson",
    ".gpkg": "gpkg",
    ".parquet": "parquet",
    ".fgb": "fgb",
    ".csv": "csv",
}
"""Format of a result by the suffix of its file."""

ProgressCallback = Callable[[int, int], None]
"""Receives the number of finished tiles and the number of all tiles."""


class DetectionOptions(TypedDict, total=False):
    """Options of a survey about objects, with the names of the REST body."""

    objects: Literal["confirmed", "all"]
    gate: Literal["cfar"]
    second_opinion: Literal["cfar"]
    cfar: dict[str, float]


_REQUIRED_PACKAGES: dict[Output, tuple[str, ...]] = {
    "geojson": (),
    "csv": (),
    "gpkg": ("geopandas", "pyogrio"),
    "fgb": ("geopandas", "pyogrio"),
    "parquet": ("geopandas", "pyarrow"),
}
_STYLED_BESIDE = ("geojson", "fgb", "parquet")
"""Formats whose style for QGIS is a file of the same name with the suffix ``.qml``."""
_RETRY_TIMEOUT_S = 120
_POLL_INTERVAL_S = 0.5


@dataclass(frozen=True)
class SurveyResult:
    """The result of a survey that has succeeded."""

    id: str
    """Id of the job."""
    tiles: int
    """Number of all tiles."""
    answered: int
    blank: int
    """Number of tiles without data."""
    failed: int
    skipped: int
    """Number of tiles that the gate left out."""
    totals: list[dict[str, Any]]
    """Per question, the sum or the estimate of counts, or the number of tiles per answer."""
    path: Path | None
    """File of the features, if one was requested."""
    features: list[dict[str, Any]] | None
    """GeoJSON features, if no file was requested."""
    objects: list[dict[str, Any]] | None
    """GeoJSON features of the objects, if they were requested."""


def check_output(out: Path) -> None:
    """Make sure that a result can be written to a file, before a survey starts.

    Raises:
        GatewayError: the suffix is unknown, a package isn't installed, or the directory doesn't exist.
    """
    file_format = FORMATS.get(out.suffix)
    if file_format is None:
        raise GatewayError(f"{out}: the suffix of the file must be one of {', '.join(FORMATS)}")
    missing = [name for name in _REQUIRED_PACKAGES[file_format] if importlib.util.find_spec(name) is None]
    if missing:
        raise GatewayError(
            f"writing {out.suffix} requires {' and '.join(missing)}, which isn't installed: "
            'run `pip install ".[gis]"` in a checkout of Sarlens, or choose .geojson'
        )
    check_writable(out)


def check_writable(out: Path) -> None:
    """Make sure that a file can be created.

    Raises:
        GatewayError: its directory doesn't exist or isn't writable, or the path is a directory.
    """
    if out.is_dir():
        raise GatewayError(f"{out} is a directory")
    if not out.parent.is_dir():
        raise GatewayError(f"the directory {out.parent} doesn't exist")
    if not os.access(out.parent, os.W_OK):
        raise GatewayError(f"the directory {out.parent} isn't writable")


class SurveyJob:
    """A survey that a gateway has accepted."""

    def __init__(self, transport: Transport, status: dict[str, Any]) -> None:
        self._transport = transport
        self._path = str(status["url"]).lstrip("/")
        self.id = str(status["id"])
        self.tiles = int(status["tiles"])
        self.url = str(status["url"])
        self.features_url = str(status["features"])
        self._has_objects = "objects" in status
        self.warning: str | None = status.get("warning")
        """What reduces the quality of the answers, or None."""

    @classmethod
    async def submit(cls, transport: Transport, body: dict[str, Any]) -> SurveyJob:
        """Submit a survey.

        Raises:
            GatewayError: the gateway rejects it.
        """
        headers = {"Prefer": "respond-async"}
        async with transport.request(
            "POST", "v1/sar/surveys", expected_status=201, json=body, headers=headers
        ) as response:
            return cls(transport, orjson.loads(await response.read()))

    async def status(self) -> dict[str, Any]:
        """Return the state of the job as the gateway reports it."""
        return await self._transport.get_json(self._path)

    async def cancel(self) -> None:
        """Cancel the job."""
        async with self._transport.request("DELETE", self._path):
            pass

    async def collect(self, out: Path | None, on_progress: ProgressCallback | None) -> SurveyResult:
        """Wait for the features and write them to a file, or return them if ``out`` is None.

        While the gateway restarts, the client waits up to 120 s for it. A canceled task cancels the survey.

        Raises:
            GatewayError: the survey failed; the file holds the answers up to then.
        """
        polling = asyncio.create_task(self._poll_progress(on_progress)) if on_progress else None
        try:
            with tempfile.TemporaryDirectory(prefix="sarlens-") as folder:
                collection = Path(folder, "answers.geojson")
                totals = await self._download(collection)
                features = None if out else await asyncio.to_thread(_read_features, collection)
                if out:
                    await asyncio.to_thread(_write, collection, out)
        except asyncio.CancelledError:
            with suppress(GatewayError):
                await self.cancel()
            raise
        finally:
            if polling:
                polling.cancel()
        status = await self.status()
        _require_success(status, out)
        objects = await self._objects(totals) if self._has_objects else None
        return SurveyResult(
            id=self.id,
            tiles=status["tiles"],
            answered=status["answered"],
            blank=status["blank"],
            failed=status["failed"],
            skipped=status.get("skipped", 0),
            totals=totals.as_list(),
            path=out,
            features=features,
            objects=objects,
        )

    async def _objects(self, totals: Totals) -> list[dict[str, Any]]:
        """Return the objects, and add them to the totals."""
        collection = await self._transport.get_json(f"{self._path}/objects")
        for feature in collection["features"]:
            totals.add_object(feature)
        return list(collection["features"])

    async def _poll_progress(self, on_progress: ProgressCallback) -> None:
        while True:
            await asyncio.sleep(_POLL_INTERVAL_S)
            with suppress(GatewayUnreachable):
                status = await self.status()
                done = sum(status.get(outcome, 0) for outcome in ("answered", "blank", "failed", "skipped"))
                on_progress(done, self.tiles)

    async def _download(self, file: Path) -> Totals:
        """Write all features as a FeatureCollection; if the connection fails, start again from the first feature."""
        from sarlens.surveys.features import Totals  # noqa: PLC0415  slow to import

        loop = asyncio.get_running_loop()
        deadline = loop.time() + _RETRY_TIMEOUT_S
        while True:
            totals, comma = Totals(), b""
            try:
                with file.open("wb") as sink:
                    sink.write(b'{"type":"FeatureCollection","features":[\n')
                    async for feature in self._features():
                        deadline = loop.time() + _RETRY_TIMEOUT_S
                        totals.add(feature)
                        sink.write(comma + orjson.dumps(feature))
                        comma = b",\n"
                    sink.write(b"\n]}\n")
            except GatewayUnreachable:
                if loop.time() > deadline:
                    raise
                await asyncio.sleep(1)
            else:
                return totals

    async def _features(self) -> AsyncIterator[dict[str, Any]]:
        """Iterate over the answers of a GeoJSON text sequence (RFC 8142) as they arrive."""
        headers = {"Accept": "application/geo+json-seq"}
        async with self._transport.request("GET", f"{self._path}/features", headers=headers) as response:
            async for line in response.content:
                feature = orjson.loads(line.lstrip(b"\x1e"))
                if "question" in feature["properties"]:
                    yield feature


def _read_features(collection: Path) -> list[dict[str, Any]]:
    return list(orjson.loads(collection.read_bytes())["features"])


def _require_success(status: dict[str, Any], out: Path | None) -> None:
    if status["status"] == "successful":
        return
    error = status.get("error") or {}
    message = error.get("message") or f"The survey is {status['status']}."
    raise GatewayError(f"{message} The answers up to then are in {out}." if out else message, code=error.get("code"))


def write_objects(objects: list[dict[str, Any]], out: Path) -> None:
    """Write objects in the format of the file's suffix; the file appears whole or not at all."""
    with tempfile.TemporaryDirectory(prefix="sarlens-") as folder:
        collection = Path(folder, "objects.geojson")
        collection.write_bytes(orjson.dumps({"type": "FeatureCollection", "features": objects}))
        _write(collection, out, "objects")


def _write(collection: Path, out: Path, layer: Literal["answers", "objects"] = "answers") -> None:
    """Write the features in the format of the file's suffix; the file appears whole or not at all.

    A file of GeoJSON, FlatGeobuf or GeoParquet has its style for QGIS next to it, unless one is there.
    """
    file_format = FORMATS[out.suffix]
    if file_format != "geojson":
        from sarlens.surveys.layer_file import ANSWERS_LAYER, OBJECTS_LAYER, write_layer  # noqa: PLC0415  slow to import

        layers = {"answers": ANSWERS_LAYER, "objects": OBJECTS_LAYER}
        collection = write_layer(collection, file_format, layers[layer])
    partial = out.with_name(f".{out.name}.part")
    partial.write_bytes(collection.read_bytes())
    partial.replace(out)
    if file_format in _STYLED_BESIDE:
        style = out.with_suffix(".qml")
        with suppress(FileExistsError), style.open("x") as file:
            file.write(to_qml(OBJECTS_STYLE if layer == "objects" else ANSWERS_STYLE))
