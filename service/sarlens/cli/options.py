"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from sarlens.cli.app import usage_error

GatewayUrl = Annotated[str, typer.Option("--url", help="Base URL of the gateway.", envvar="SARLENS_URL")]
GatewayKey = Annotated[
    str | None, typer.Option("--key", help="API key, if the gateway requires one.", envvar="SARLENS_API_KEY")
]
Model = Annotated[str | None, typer.Option("--model", help="Model to ask; optional if the gateway serves only one.")]
ManagementUrl = Annotated[
    str | None,
    typer.Option(
        "--management",
        help="Base URL of the management port. Default: the port and address of SARLENS_MANAGEMENT__PORT.",
        envvar="SARLENS_MANAGEMENT_URL",
    ),
]
StateOfStack = Annotated[
    Path,
    typer.Option(
        "--state", help="State directory of the local stack that receives local files.", envvar="SARLENS_STATE"
    ),
]
Window = Annotated[str | None, typer.Option("--window", help="Part of the image in pixels: col,row,width,height.")]
Bbox = Annotated[str | None, typer.Option("--bbox", help="Part of the image in degrees: west,south,east,north.")]
Asset = Annotated[str | None, typer.Option("--asset", help="Key of the asset, if the image is a STAC Item.")]
Bands = Annotated[str | None, typer.Option("--bands", help="Bands, such as VV or VV,VH.")]
BandFile = Annotated[
    list[str] | None,
    typer.Option("--band-file", help="Another file of the image with one band, such as VH next to VV; repeatable."),
]
Filter = Annotated[str | None, typer.Option("--filter", help="Speckle filter, such as lee or none.")]


def management_url(url: str | None) -> str:
    """Return the base URL of the management port; without an option or a setting that names it, the command ends."""
    if url is not None:
        return url
    from sarlens.settings import load_settings

    management = load_settings({}).management
    if not management.port:
        usage_error("name the management port of the gateway with --management URL, or set SARLENS_MANAGEMENT__PORT")
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(management.host, management.host)  # noqa: S104  not bound
    return f"http://[{host}]:{management.port}" if ":" in host else f"http://{host}:{management.port}"


def check_files(image: str, others: list[str] | None) -> str | list[str]:
    """Check that an image, and the files of its other bands, are URLs or readable files; return all of them.

    Raises:
        LocalImageError: a local file can't be read.
    """
    from sarlens.client.image_input import check_local_image, is_url

    for file in (image, *(others or ())):
        if not is_url(file):
            check_local_image(Path(file))
    return [image, *others] if others else image


_FORMS = {
    "window": "four whole numbers, col,row,width,height",
    "bbox": "four numbers, west,south,east,north",
    "polygon": "a GeoJSON file with polygons",
}


def parse_render_options(**texts: str | None) -> dict[str, Any]:
    """Parse options into render parameters; an invalid one ends the command.

    Args:
        texts: values by the names of the options; None, not given.
    """
    from sarlens.chat.query import parse_render, parse_render_query
    from sarlens.errors import BadRequest

    sar = parse_render_query({name: text for name, text in texts.items() if text is not None})
    try:
        parse_render(sar, "")
    except BadRequest as error:
        field, _, message = error.message.lstrip(".").partition(": ")
        option = field.partition(".")[0]
        if not option:
            usage_error(message.rstrip("."))
        usage_error(f"--{option} must be {_FORMS[option]}" if option in _FORMS else f"--{option}: {message}")
    return sar
