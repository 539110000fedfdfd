"""The command itself: its options, and how it says that something is wrong.

The modules of its commands import what a command needs inside it, so that help and questions answer at once.
"""

from __future__ import annotations

from typing import Annotated, NoReturn

import typer

import sarlens

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Ask questions of radar images: a gateway between callers, S3 and vLLM workers.",
)


def fail(message: str) -> NoReturn:
    """End with one line on standard error and exit code 1."""
    typer.secho(f"sarlens: {message}", err=True, fg="red")
    raise SystemExit(1)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"sarlens {sarlens.__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    """Ask questions of radar images: a gateway between callers, S3 and vLLM workers."""
