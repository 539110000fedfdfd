"""The ``sarbench`` command."""

from __future__ import annotations

from importlib.metadata import version as installed_version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from sarbench.dataset.cli import info, validate
from sarbench.errors import SarbenchError
from sarbench.export.cli import export
from sarbench.finetune.cli import finetune
from sarbench.landcover.cli import landcover
from sarbench.nano.cli import nano
from sarbench.report.cli import report
from sarbench.run.cli import run
from sarbench.score.cli import score
from sarbench.simulate.cli import questions, scene, scenes, simulate
from sarbench.train.cli import train


class _CommandGroup(TyperGroup):
    """Commands that report an error in one sentence with exit code 1; ``--debug`` shows the traceback."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Accept ``--debug`` after the command, too."""
        if "--debug" in args:
            args = ["--debug", *(argument for argument in args if argument != "--debug")]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except (typer.TyperException, typer.Exit, typer.Abort, BrokenPipeError):
            raise
        except Exception as error:
            if ctx.params.get("debug"):
                raise
            typer.secho(f"sarbench: {_sentence(error)}", err=True, fg="red")
            raise typer.Exit(1) from error


def _sentence(error: BaseException) -> str:
    """Return one line for an error. Errors other than SarbenchError are named, with a hint to ``--debug``."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, SarbenchError):
        return str(error)
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    first_line = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {first_line} (pass --debug for the traceback)"


def _print_version(requested: bool) -> None:
    if requested:
        typer.echo(f"sarbench {installed_version('sarlens')}")
        raise typer.Exit


app = typer.Typer(
    cls=_CommandGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Read, simulate, train, run, score, report on, and export data in the layout of SARLANG-1M.",
)


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Read, simulate, train, run, score, report on, and export data in the layout of SARLANG-1M."""


app.command()(info)
app.command()(validate)
app.command()(run)
app.command()(score)
app.command()(report)
app.command()(landcover)
app.command()(export)
app.command()(simulate)
app.command()(scene)
app.command()(scenes)
app.command()(questions)
app.command()(nano)
app.command()(train)
app.command()(finetune)
