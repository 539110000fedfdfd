"""``sarlens survey``."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sarlens.cli.app import app, fail, usage_error
from sarlens.cli.options import (
    Asset,
    BandFile,
    Bands,
    Bbox,
    Filter,
    GatewayKey,
    GatewayUrl,
    Model,
    StateOfStack,
    check_files,
    parse_render_options,
)

if TYPE_CHECKING:
    from sarlens.client import AsyncClient, SurveyResult
    from sarlens.client.surveys import DetectionOptions, SurveyJob


@app.command()
def survey(
    image: Annotated[
        str,
        typer.Argument(
            help="Georeferenced scene: a local file, a Sentinel-1 product folder, or an s3:// or https:// URL, also of "
            "a STAC Item."
        ),
    ],
    question: Annotated[list[str], typer.Option("--question", help="Question about every tile; repeatable.")],
    out: Annotated[
        Path | None,
        typer.Option(help="File for the features: .geojson, .csv, .gpkg, .fgb or .parquet. Required without --detach."),
    ] = None,
    tile: Annotated[
        int | None, typer.Option(min=64, max=4096, help="Side of a tile in pixels. Default: what the model sees.")
    ] = None,
    overlap: Annotated[int, typer.Option(min=0, help="Pixels that neighboring tiles share.")] = 0,
    bbox: Bbox = None,
    polygon: Annotated[Path | None, typer.Option(help="Part of the scene: a GeoJSON file with polygons.")] = None,
    asset: Asset = None,
    bands: Bands = None,
    band_file: BandFile = None,
    filter: Filter = None,  # noqa: A002
    objects: Annotated[
        Path | None,
        typer.Option(help="File for one point per object: .geojson, .gpkg or .parquet. With --detach, see its URLs."),
    ] = None,
    unconfirmed: Annotated[
        bool, typer.Option("--unconfirmed", help="Also write the targets of the CFAR detector that the model rejects.")
    ] = False,
    gate: Annotated[
        bool, typer.Option("--gate", help="Don't ask about tiles without targets of the CFAR detector.")
    ] = False,
    second_opinion: Annotated[
        bool, typer.Option("--second-opinion", help="Write the number of targets of the CFAR detector to each answer.")
    ] = False,
    url: GatewayUrl = "http://localhost:8080",
    key: GatewayKey = None,
    model: Model = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="Submit the survey, print its URLs, and don't wait for it.")
    ] = False,
    state: StateOfStack = Path(".local"),
) -> None:
    """Ask about every tile of a scene, and write the answers as map features.

    A local file goes to the bucket of the local stack first. The gateway keeps a survey in its database of jobs
    (SARLENS_SURVEY__DATABASE) and continues it after a restart. Ctrl-C cancels it.

    Example: sarlens survey s3://scenes/port.tif --question "How many ships are in the image?" --out ships.geojson

    Example: sarlens survey s3://scenes/port.tif --question "How many ships are in the image?" --objects ships.geojson

    Example: sarlens survey ./scene.tif --question "Is there a ship?" --overlap 64 --out ships.gpkg
    """
    from sarlens.client import AsyncClient
    from sarlens.client.surveys import check_output
    from sarlens.devstack.uploads import LocalStackUploader

    if out is None and objects is None and not detach:
        usage_error("name a file with --out or --objects, such as ships.geojson or ships.gpkg, or add --detach")
    if unconfirmed and objects is None:
        usage_error("--unconfirmed requires --objects")
    polygon_json = None if polygon is None else json.dumps(_read_polygon(polygon))
    render = parse_render_options(bbox=bbox, polygon=polygon_json, asset=asset, bands=bands, filter=filter)
    for file in (out, objects):
        if file is not None:
            check_output(file)
    files = check_files(image, band_file)
    client = AsyncClient(url, key, upload=LocalStackUploader(state, url))
    request = {"image": files, "questions": question, "tile": tile, "overlap": overlap, "model": model, **render}
    request["detection"] = _detection(objects, unconfirmed=unconfirmed, gate=gate, second_opinion=second_opinion)
    try:
        if detach:
            typer.echo(asyncio.run(_submit(client, url, request)))
        else:
            typer.echo(asyncio.run(_run(client, request, out, objects)))
    except KeyboardInterrupt:
        fail("interrupted; the survey is canceled", exit_code=130)


def _detection(objects: Path | None, *, unconfirmed: bool, gate: bool, second_opinion: bool) -> DetectionOptions:
    options: DetectionOptions = {}
    if objects is not None:
        options["objects"] = "all" if unconfirmed else "confirmed"
    if gate:
        options["gate"] = "cfar"
    if second_opinion:
        options["second_opinion"] = "cfar"
    return options


async def _submit(client: AsyncClient, url: str, request: dict[str, Any]) -> str:
    async with client:
        job = await client.submit_survey(**request)
    _warn(job)
    return "\n".join(url.rstrip("/") + path for path in (job.url, job.features_url))


async def _run(client: AsyncClient, request: dict[str, Any], out: Path | None, objects: Path | None) -> str:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from sarlens.client.surveys import write_objects

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    async with client:
        job = await client.submit_survey(**request)
        _warn(job)
        with Progress(*columns, console=Console(stderr=True, highlight=False)) as progress:
            bar = progress.add_task("tiles", total=job.tiles)
            result = await job.collect(out, lambda done, total: progress.update(bar, completed=done, total=total))
            progress.update(bar, completed=result.tiles, total=result.tiles)
    if objects is not None:
        await asyncio.to_thread(write_objects, result.objects or [], objects)
    return _summary(result, [path for path in (out, objects) if path is not None])


def _warn(job: SurveyJob) -> None:
    if job.warning:
        typer.echo(f"warning: {job.warning}", err=True)


def _summary(result: SurveyResult, files: list[Path]) -> str:
    tiles = f"{result.tiles} tiles: {result.answered} answered, {result.blank} without data, {result.failed} failed"
    tiles += f", {result.skipped} skipped by the gate" if result.skipped else ""
    return "\n".join([tiles, *map(_format_total, result.totals), *(f"written to {file}" for file in files)])


def _format_total(total: dict[str, Any]) -> str:
    match total["type"]:
        case "integer":
            number = total["sum"] if "sum" in total else f"about {total['estimate']:g}"
            text = f"{number} in all, in {total['tiles_above_zero']} tiles"
        case "boolean":
            text = f"yes in {total['yes']} tiles, no in {total['no']}"
        case "class" | "position":
            text = ", ".join(f"{value} {tiles}" for value, tiles in total["tiles_by_value"].items())
        case _:
            text = f"{total['answers']} answers"
    if "objects" in total:
        low, high = total["interval"]
        text += f"; {total['objects']} objects ({low} to {high}), {total['unconfirmed']} targets unconfirmed"
    return f"{total['question']} {text}"


def _read_polygon(file: Path) -> Any:
    """Return the GeoJSON document of a file."""
    try:
        document = json.loads(file.read_text())
    except OSError as error:
        fail(f"{file}: {error.strerror}")
    except ValueError:
        document = None
    if not isinstance(document, dict):
        fail(f"{file} isn't a GeoJSON file")
    return document
