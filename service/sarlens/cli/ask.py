"""``sarlens ask``."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sarlens.cli.app import app
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
    Window,
    check_files,
    parse_render_options,
)

if TYPE_CHECKING:
    from sarlens.client import AsyncClient


@app.command()
def ask(
    image: Annotated[
        str,
        typer.Argument(
            help="Image: a local file, a Sentinel-1 product folder, or an s3://, https:// or data: URL, also of a STAC "
            "Item."
        ),
    ],
    question: Annotated[
        str, typer.Argument(help="Question about the image.")
    ] = "Describe the content of this image in one sentence.",
    url: GatewayUrl = "http://localhost:8080",
    key: GatewayKey = None,
    model: Model = None,
    window: Window = None,
    bbox: Bbox = None,
    asset: Asset = None,
    bands: Bands = None,
    band_file: BandFile = None,
    filter: Filter = None,  # noqa: A002
    show: Annotated[Path | None, typer.Option(help="File for the rendered image that the model receives.")] = None,
    state: StateOfStack = Path(".local"),
) -> None:
    """Ask a question about an image.

    A local file is sent in the request. Files over 49 MB and product folders go to the bucket of the local stack.

    Example: sarlens ask s3://scenes/port.tif "How many harbors are in the image?" --show port.png

    Example: sarlens ask ./port.tif "Is there a bridge in the image?"
    """
    from sarlens.client import AsyncClient
    from sarlens.client.surveys import check_writable
    from sarlens.devstack.uploads import LocalStackUploader

    render = parse_render_options(window=window, bbox=bbox, asset=asset, bands=bands, filter=filter)
    files = check_files(image, band_file)
    if show is not None:
        check_writable(show)
    client = AsyncClient(url, key, upload=LocalStackUploader(state, url))
    asyncio.run(_ask(client, files, question, model, render, show))


async def _ask(
    client: AsyncClient, image: str | list[str], question: str, model: str | None, render: Any, show: Path | None
) -> None:
    async with client:
        if show:
            await client.preview(image, show, model=model, **render)
        async for text in client.stream(image, question, model=model, **render):
            sys.stdout.write(text)
            sys.stdout.flush()
    sys.stdout.write("\n")
