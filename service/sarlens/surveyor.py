"""The command line's own client of surveys: progress while it lasts, a file for a GIS in the end."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import orjson
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from sarlens.ask import AskFailed, refused
from sarlens.survey.delivery import convert
from sarlens.survey.features import Totals

FORMATS = {".geojson": "geojson", ".json": "geojson", ".gpkg": "gpkg", ".parquet": "parquet"}
_SEQUENCE = {"Accept": "application/geo+json-seq"}
_PATIENCE_S = 120

console = Console(stderr=True, highlight=False)


async def hand_in(client: aiohttp.ClientSession, body: dict[str, Any]) -> dict[str, Any]:
    """Hand a survey in as a job, and return what the gateway says of it.

    Raises:
        AskFailed: with the gateway's sentence.
    """
    async with client.post("v1/sar/surveys", json=body, headers={"Prefer": "respond-async"}) as response:
        await refused(response, 201)
        return dict(orjson.loads(await response.read()))


async def survey(client: aiohttp.ClientSession, body: dict[str, Any], out: Path) -> str:
    """Survey a scene, show how far it is, write the features to a file whose name says the format, and sum them up.

    A gateway that goes away is waited for: the survey is on its disk. Who interrupts dismisses it.

    Raises:
        AskFailed: with the gateway's sentence.
    """
    job = await hand_in(client, body)
    place = job["url"].lstrip("/")
    try:
        totals = await _watch(client, place, job, out)
    except asyncio.CancelledError:
        await _dismiss(client, place)
        raise
    done = await _told(client, place)
    if done["status"] != "successful":
        said = (done.get("error") or {}).get("message") or f"The survey is {done['status']}."
        raise AskFailed(f"{said} What was answered until then is in {out}.")
    lines = [
        f"{done['tiles']} tiles: {done['answered']} answered, {done['blank']} without data, {done['failed']} failed"
    ]
    lines += [_line(total) for total in totals.document()]
    return "\n".join([*lines, f"written to {out}"])


async def _watch(client: aiohttp.ClientSession, place: str, job: dict[str, Any], out: Path) -> Totals:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with tempfile.TemporaryDirectory(prefix="sarlens-") as folder, Progress(*columns, console=console) as progress:
        bar = progress.add_task("tiles", total=job["tiles"])
        telling = asyncio.create_task(_tell(client, place, lambda done: progress.update(bar, completed=done)))
        try:
            features, totals = await _collect(client, place, Path(folder, "answers.geojson"))
        finally:
            telling.cancel()
        progress.update(bar, completed=job["tiles"])
        kind = FORMATS[out.suffix]
        if kind != "geojson":
            features = await asyncio.to_thread(convert, features, kind)  # type: ignore[arg-type]
        await asyncio.to_thread(_move, features, out)
    return totals


async def _collect(client: aiohttp.ClientSession, place: str, file: Path) -> tuple[Path, Totals]:
    """The features as a FeatureCollection in a file; from the beginning again where the gateway went away."""
    loop = asyncio.get_running_loop()
    until = loop.time() + _PATIENCE_S
    while True:
        totals, comma = Totals(), b""
        try:
            with file.open("wb") as out:
                out.write(b'{"type":"FeatureCollection","features":[\n')
                async for feature in _features(client, place):
                    until = loop.time() + _PATIENCE_S
                    totals.add(feature)
                    out.write(comma + orjson.dumps(feature))
                    comma = b",\n"
                out.write(b"\n]}\n")
        except aiohttp.ClientError:
            if loop.time() > until:
                raise
            await asyncio.sleep(1)
        else:
            return file, totals


async def _features(client: aiohttp.ClientSession, place: str) -> AsyncIterator[dict[str, Any]]:
    async with client.get(f"{place}/features", headers=_SEQUENCE) as response:
        await refused(response)
        async for line in response.content:
            feature = orjson.loads(line.lstrip(b"\x1e"))
            if "question" in feature["properties"]:
                yield feature


async def _tell(client: aiohttp.ClientSession, place: str, tell: Any) -> None:
    """Say how many tiles are done, for as long as somebody wants to know."""
    while True:
        await asyncio.sleep(0.5)
        try:
            done = await _told(client, place)
        except aiohttp.ClientError:
            continue
        tell(done["answered"] + done["blank"] + done["failed"])


async def _told(client: aiohttp.ClientSession, place: str) -> dict[str, Any]:
    async with client.get(place) as response:
        await refused(response)
        return dict(orjson.loads(await response.read()))


async def _dismiss(client: aiohttp.ClientSession, place: str) -> None:
    async with client.delete(place) as response:
        await response.read()


def _move(features: Path, out: Path) -> None:
    """Put a file where it is wanted, whole or not at all."""
    beside = out.with_name(f".{out.name}.part")
    beside.write_bytes(features.read_bytes())
    beside.replace(out)


def _line(total: dict[str, Any]) -> str:
    match total["type"]:
        case "integer":
            said = f"{total['sum']} in all, in {total['tiles_above_zero']} tiles"
        case "boolean":
            said = f"yes in {total['yes']} tiles, no in {total['no']}"
        case "class" | "position":
            said = ", ".join(f"{value} {tiles}" for value, tiles in total["tiles_by_value"].items())
        case _:
            said = f"{total['answers']} answers"
    return f"{total['question']} {said}"
