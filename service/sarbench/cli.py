"""The ``sarbench`` command."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

from sarbench.dataset.cli import info, validate
from sarbench.errors import SarbenchError
from sarbench.finetune.cli import finetune
from sarbench.nano.cli import nano
from sarbench.report.cli import report
from sarbench.run.cli import run
from sarbench.score.cli import score
from sarbench.simulate.cli import questions, scene, scenes, simulate
from sarbench.train.cli import train


class _Told(TyperGroup):
    """Commands whose own errors end in one sentence and exit status 2."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except SarbenchError as error:
            typer.secho(f"sarbench: {error}", err=True, fg="red")
            raise typer.Exit(2) from error


app = typer.Typer(
    cls=_Told,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="SARLANG-1M as software: read it, simulate data like it, train, ask, score, report.",
)
app.command()(info)
app.command()(validate)
app.command()(run)
app.command()(score)
app.command()(report)
app.command()(simulate)
app.command()(scene)
app.command()(scenes)
app.command()(questions)
app.command()(nano)
app.command()(train)
app.command()(finetune)
