"""The ``sarlens`` command."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import aiohttp
import typer
from pydantic import ValidationError
from pydantic_settings import SettingsError

import sarlens
from sarlens.admission.keys import Key, new_key
from sarlens.ask import AskFailed, open_client, question_body, save_picture, stream_answer
from sarlens.chat import parse_render, sar_from_text
from sarlens.child import ChildFailed
from sarlens.errors import CannotStart, SarlensError
from sarlens.local import run_local
from sarlens.processes import serve_many
from sarlens.serve import CUT, is_loopback, listen, serve
from sarlens.settings import Settings, describe
from sarlens.surveyor import FORMATS, hand_in, survey
from sarlens.wiring import check
from sarlens.workers.vllm import VllmMissing, worker_command, worker_environment

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Ask questions of radar images: a gateway between callers, S3 and vLLM workers.",
)

GatewayUrl = Annotated[str, typer.Option(help="The gateway.", envvar="SARLENS_URL")]
GatewayKey = Annotated[
    str | None, typer.Option(help="API key, where the gateway wants one.", envvar="SARLENS_API_KEY", show_envvar=True)
]


def _fail(message: str) -> NoReturn:
    typer.secho(f"sarlens: {message}", err=True, fg="red")
    raise SystemExit(1)


def _settings(**given: Any) -> Settings:
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except (UnicodeDecodeError, OSError):
        _fail("the file .env cannot be read")
    except SettingsError as error:
        _fail(f"a setting is not valid JSON: {error}")
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = "SARLENS_" + "__".join(str(step).upper() for step in first["loc"])
        _fail(f"the setting {name} is wrong: {first['msg'].removeprefix('Value error, ')}")


@app.command("serve")
def serve_command(
    worker: Annotated[
        list[str] | None,
        typer.Option(
            help="Base URL of a vLLM worker, or a triton:, file:, dns: or kubernetes: place; may be repeated."
        ),
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on. [default: 127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on. [default: 8080]")] = None,
    processes: Annotated[int, typer.Option(min=1, max=256, help="Processes, to use several cores.")] = 1,
    open_to_all: Annotated[
        bool, typer.Option("--open", help="Serve without API keys also on addresses that others can reach.")
    ] = False,
) -> None:
    """Serve the gateway for workers that run already.

    Every setting can be given in the environment or in a file .env, such as SARLENS_S3__ENDPOINT; docs/settings.md
    lists them. At SIGTERM no more work is taken and open requests may finish; the exit code is 0 when all did, 3 when
    some were cut.

    Example: sarlens serve --worker http://gpu-1:8000 --worker http://gpu-2:8000
    """
    settings = _settings(host=host, port=port)
    if worker:
        settings = _settings(host=host, port=port, worker={**settings.worker.model_dump(), "urls": worker})
    if not (settings.keys.file or settings.keys.open or open_to_all or is_loopback(settings.host)):
        _fail(
            f"{settings.host} can be reached by others, and no API keys are set: name a file of keys in "
            "SARLENS_KEYS__FILE (`sarlens key` makes one), or say --open"
        )
    if not settings.worker.urls:
        _fail("no worker is named: give --worker http://host:8000, or set SARLENS_WORKER__URLS")
    try:
        taken = listen(settings.host, settings.port)
        check(settings)
        finished = serve(settings, taken) if processes == 1 else serve_many(settings, taken, processes)
    except CannotStart as error:
        _fail(str(error))
    if not finished:
        raise SystemExit(CUT)


@app.command("key")
def key_command(
    name: Annotated[str, typer.Argument(help="Whose key it is.")],
    models: Annotated[list[str] | None, typer.Option("--model", help="Model that it opens, such as sar-*.")] = None,
    images: Annotated[list[str] | None, typer.Option("--images", help="Place that it opens: s3://scenes/2026")] = None,
    requests_per_minute: Annotated[int | None, typer.Option(help="Most requests a minute.")] = None,
    tokens_per_minute: Annotated[int | None, typer.Option(help="Most tokens a minute.")] = None,
    priority: Annotated[int, typer.Option(help="Lower goes first.")] = 0,
) -> None:
    """Make an API key: the key goes to standard error, once, its entry for SARLENS_KEYS__FILE to standard output.

    The file is a JSON list of such entries. Options may be repeated; what is left out is not restricted.

    Example: sarlens key gis-team --images s3://scenes --requests-per-minute 600
    """
    secret, digest = new_key()
    given = {"models": models, "images": images, "requests_per_minute": requests_per_minute}
    given |= {"tokens_per_minute": tokens_per_minute}
    try:
        entry = Key(name=name, sha256=digest, priority=priority, **{k: v for k, v in given.items() if v})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        _fail(f"{first['loc'][0]}: {first['msg']}")
    typer.echo(f"The key of {name}, shown this once: {secret}", err=True)
    typer.echo(entry.model_dump_json(exclude_defaults=True))


@app.command()
def local(
    model: Annotated[Path, typer.Option(help="Directory of the model that the worker loads.")],
    scenes: Annotated[Path | None, typer.Option(help="Directory of images to put into the bucket scenes.")] = None,
    state: Annotated[Path, typer.Option(help="Where the S3 server keeps its objects, and logs go.")] = Path(".local"),
    port: Annotated[int, typer.Option(help="Port of the gateway.")] = 8080,
) -> None:
    """Serve everything on this machine: gateway, one vLLM worker on the CPU, an S3 server with sample scenes."""
    try:
        run_local(_settings(port=port), model=model, scenes=scenes, state=state)
    except (ChildFailed, CannotStart, VllmMissing) as error:
        _fail(str(error))


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def worker(
    context: typer.Context,
    model: Annotated[str, typer.Option(help="Model directory, or a name that vLLM can fetch.")],
    name: Annotated[str | None, typer.Option(help="Name to serve it under. [default: the directory's]")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8000,
) -> None:
    """Become a vLLM worker with the switches that the gateway relies on; further options go to vLLM."""
    try:
        command = worker_command(model, name or Path(model).name, host, port, context.args)
    except VllmMissing as error:
        _fail(str(error))
    os.execve(command[0], command, {**os.environ, **worker_environment()})  # noqa: S606  the caller's own command line


@app.command()
def ask(
    image: Annotated[str, typer.Argument(help="s3://, https:// or data: URL of an image or a STAC Item.")],
    question: Annotated[
        str, typer.Argument(help="What to ask.")
    ] = "Describe the content of this image in one sentence.",
    url: GatewayUrl = "http://localhost:8080",
    key: GatewayKey = None,
    model: Annotated[str | None, typer.Option(help="Model to ask; may be left out where one is served.")] = None,
    window: Annotated[str | None, typer.Option(help="Part of the image: col,row,width,height.")] = None,
    bbox: Annotated[str | None, typer.Option(help="Part of the image: west,south,east,north in degrees.")] = None,
    asset: Annotated[str | None, typer.Option(help="Asset, where the image is a STAC Item.")] = None,
    bands: Annotated[str | None, typer.Option(help="Bands, such as VV or VV,VH.")] = None,
    filter: Annotated[str | None, typer.Option(help="Speckle filter, such as lee or none.")] = None,  # noqa: A002
    show: Annotated[Path | None, typer.Option(help="Save the picture that the model sees.")] = None,
) -> None:
    """Ask a question of an image.

    Example: sarlens ask s3://scenes/port.tif "How many ships are in the image?" --show port.png
    """
    given = {"window": window, "bbox": bbox, "asset": asset, "bands": bands, "filter": filter}
    query = {name: value for name, value in given.items() if value is not None}
    try:
        asyncio.run(_ask(url, key, image, question, model, query, show))
    except (AskFailed, SarlensError) as error:
        _fail(str(error))
    except aiohttp.ClientError:
        _fail(f"no gateway answers at {url}; `make serve` starts one")


async def _ask(
    url: str, key: str | None, image: str, question: str, model: str | None, query: dict[str, str], show: Path | None
) -> None:
    sar = sar_from_text(query)
    parse_render(sar, "sar")
    async with open_client(url, key) as client:
        if show:
            await save_picture(client, image, query | ({"model": model} if model else {}), show)
        async for piece in stream_answer(client, question_body(image, question, model=model, sar=sar)):
            sys.stdout.write(piece)
            sys.stdout.flush()
    sys.stdout.write("\n")


@app.command("survey")
def survey_command(
    image: Annotated[
        str, typer.Argument(help="s3:// or https:// URL of a scene that says where it lies, or of its STAC Item.")
    ],
    question: Annotated[list[str], typer.Option(help="What to ask of every tile; may be repeated.")],
    out: Annotated[Path | None, typer.Option(help="File for the features: .geojson, .gpkg or .parquet.")] = None,
    tile: Annotated[int, typer.Option(min=64, max=4096, help="Side of a tile in pixels.")] = 448,
    overlap: Annotated[int, typer.Option(min=0, help="Pixels that neighbouring tiles share.")] = 0,
    bbox: Annotated[str | None, typer.Option(help="Part of the scene: west,south,east,north in degrees.")] = None,
    polygon: Annotated[Path | None, typer.Option(help="Part of the scene: a file with a GeoJSON Polygon.")] = None,
    asset: Annotated[str | None, typer.Option(help="Asset, where the image is a STAC Item.")] = None,
    bands: Annotated[str | None, typer.Option(help="Bands, such as VV or VV,VH.")] = None,
    filter: Annotated[str | None, typer.Option(help="Speckle filter, such as lee or none.")] = None,  # noqa: A002
    url: GatewayUrl = "http://localhost:8080",
    key: GatewayKey = None,
    model: Annotated[str | None, typer.Option(help="Model to ask; may be left out where one is served.")] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Leave it to the gateway, and print where it is.")] = False,
) -> None:
    """Ask about every tile of a scene, and write the answers as features on the map.

    The survey is kept on the gateway's disk: it goes on where it was when a gateway is restarted. Ctrl-C ends it.

    Example: sarlens survey s3://scenes/port.tif --question "How many ships are in the image?" --overlap 64 --out
    ships.geojson
    """
    given = {"bbox": bbox, "polygon": polygon and _polygon(polygon), "asset": asset, "bands": bands, "filter": filter}
    sar = sar_from_text({name: value for name, value in given.items() if value})
    body: dict[str, Any] = {"image": {"url": image, "sar": sar} if sar else image, "questions": question}
    body |= {"tile": tile, "overlap": overlap} | ({"model": model} if model else {})
    if not detach and (out is None or out.suffix not in FORMATS):
        _fail("name a file with --out, such as ships.geojson, ships.gpkg or ships.parquet, or say --detach")
    try:
        parse_render(sar, "sar")
        typer.echo(asyncio.run(_survey(url, key, body, None if detach else out)))
    except (AskFailed, SarlensError) as error:
        _fail(str(error))
    except aiohttp.ClientError:
        _fail(f"no gateway answers at {url}; `make serve` starts one")
    except KeyboardInterrupt:
        _fail("interrupted; the survey is dismissed")


async def _survey(url: str, key: str | None, body: dict[str, Any], out: Path | None) -> str:
    async with open_client(url, key) as client:
        if out is not None:
            return await survey(client, body, out)
        job = await hand_in(client, body)
    return "\n".join(url.rstrip("/") + job[name] for name in ("url", "features"))


def _polygon(file: Path) -> str:
    """The polygon of a GeoJSON file, which may be that of a feature or of the only feature of a collection."""
    try:
        found = json.loads(file.read_text())
        if found.get("type") == "FeatureCollection" and len(found["features"]) == 1:
            found = found["features"][0]
        return json.dumps(found["geometry"] if found.get("type") == "Feature" else found)
    except (OSError, ValueError, KeyError, AttributeError):
        _fail(f"{file} holds no GeoJSON polygon")


@app.command("settings")
def settings_command() -> None:
    """Print every setting with its default, as a Markdown table."""
    typer.echo("| variable | default | meaning |\n|---|---|---|")
    for variable, default, meaning in describe():
        typer.echo(f"| `{variable}` | {f'`{default}`' if default else ''} | {meaning} |")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"sarlens {sarlens.__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    """Ask questions of radar images: a gateway between callers, S3 and vLLM workers."""
