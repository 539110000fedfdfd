"""The command itself: its global options, and how it reports errors.

The modules of its commands import inside the commands, so that help and questions start fast.
"""

from __future__ import annotations

from typing import Annotated, Any, NoReturn

import typer
import typer.core

import sarlens
from sarlens.errors import SarlensError, StartupError


def fail(message: str, exit_code: int = 1) -> NoReturn:
    """End with one line on standard error."""
    typer.secho(f"sarlens: {message}", err=True, fg="red")
    raise typer.Exit(exit_code)


def usage_error(message: str) -> NoReturn:
    """End with one line on standard error and exit code 2: the command line itself is wrong."""
    fail(message, exit_code=2)


_ORDER = ("ask", "survey", "serve", "local", "worker", "workers", "adapter", "key", "profiles", "settings")
"""Commands in the order of the help."""


class _Group(typer.core.TyperGroup):
    """Reports every error in one sentence; ``--debug`` shows the traceback instead."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands = dict(sorted(self.commands.items(), key=lambda item: _ORDER.index(item[0])))

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort, typer.TyperException, BrokenPipeError):
            raise
        except Exception as error:
            if ctx.params.get("debug"):
                raise
            fail(_describe(error))


def _describe(error: Exception) -> str:
    from sarlens.client.errors import GatewayError, GatewayUnreachable

    match error:
        case GatewayUnreachable():
            return f"{error}; `make serve` starts a local stack, --url names another gateway"
        case GatewayError() | SarlensError() | StartupError():
            return str(error)
        case OSError() if error.strerror:
            return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    text = str(error).partition("\n")[0]
    return f"unexpected error, {type(error).__name__}: {text}; `sarlens --debug …` shows the traceback"


app = typer.Typer(
    cls=_Group,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="Ask questions about radar images: a gateway between callers, S3 and vLLM workers.",
    epilog="Exit codes: 0 success, 1 error, 2 wrong command line, 3 requests aborted at the end of `serve`.",
)


def _print_version(requested: bool) -> None:
    if requested:
        from sarlens.imagery.render import kernels

        typer.echo(f"sarlens {sarlens.__version__} ({'native' if kernels.NATIVE else 'NumPy'} kernels)")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Ask questions about radar images: a gateway between callers, S3 and vLLM workers."""
