"""The commands that ask a gateway."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from sarlens.cli.command import app, fail

GatewayUrl = Annotated[str, typer.Option(help="The gateway.", envvar="SARLENS_URL")]
GatewayKey = Annotated[
    str | None, typer.Option(help="API key, where the gateway wants one.", envvar="SARLENS_API_KEY", show_envvar=True)
]


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
    import aiohttp

    from sarlens.ask import AskFailed
    from sarlens.errors import SarlensError

    given = {"window": window, "bbox": bbox, "asset": asset, "bands": bands, "filter": filter}
    query = {name: value for name, value in given.items() if value is not None}
    try:
        asyncio.run(_ask(url, key, image, question, model, query, show))
    except (AskFailed, SarlensError) as error:
        fail(str(error))
    except aiohttp.ClientError:
        fail(f"no gateway answers at {url}; `make serve` starts one")


async def _ask(
    url: str, key: str | None, image: str, question: str, model: str | None, query: dict[str, str], show: Path | None
) -> None:
    from sarlens.ask import open_client, question_body, save_picture, stream_answer
    from sarlens.chat import parse_render, sar_from_text

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
    import aiohttp

    from sarlens.ask import AskFailed
    from sarlens.chat import parse_render, sar_from_text
    from sarlens.errors import SarlensError
    from sarlens.surveyor import FORMATS

    given = {"bbox": bbox, "polygon": polygon and _polygon(polygon), "asset": asset, "bands": bands, "filter": filter}
    sar = sar_from_text({name: value for name, value in given.items() if value})
    body: dict[str, Any] = {"image": {"url": image, "sar": sar} if sar else image, "questions": question}
    body |= {"tile": tile, "overlap": overlap} | ({"model": model} if model else {})
    if not detach and (out is None or out.suffix not in FORMATS):
        fail("name a file with --out, such as ships.geojson, ships.gpkg or ships.parquet, or say --detach")
    try:
        parse_render(sar, "sar")
        typer.echo(asyncio.run(_survey(url, key, body, None if detach else out)))
    except (AskFailed, SarlensError) as error:
        fail(str(error))
    except aiohttp.ClientError:
        fail(f"no gateway answers at {url}; `make serve` starts one")
    except KeyboardInterrupt:
        fail("interrupted; the survey is dismissed")


async def _survey(url: str, key: str | None, body: dict[str, Any], out: Path | None) -> str:
    from sarlens.ask import open_client
    from sarlens.surveyor import hand_in, survey

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
        fail(f"{file} holds no GeoJSON polygon")
