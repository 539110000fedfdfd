"""``sarbench report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from sarbench.dataset.library import Library, open_library
from sarbench.errors import DatasetError
from sarbench.report.cards import cards
from sarbench.report.markup import Scored
from sarbench.report.page import page
from sarbench.report.worst import worst
from sarbench.run.answers import read_answers
from sarbench.run.plan import read_about, read_plan
from sarbench.score.board import read_board


def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN…", help="Scored runs; the first is looked at closely.")],
    out: Annotated[Path | None, typer.Option(help="File to write. [default: report.html in the first run]")] = None,
) -> None:
    """Write one HTML page, complete in itself: scores beside the published ones, plots, the worst hundred answers."""
    console = Console()
    scored = [_scored(run) for run in runs]
    answers = read_answers(runs[0])
    library = _library(read_plan(runs[0]).data, console)
    with Progress(console=console, transient=True) as progress:
        bads = worst(answers)
        task = progress.add_task("pictures", total=len(bads))
        document = page(scored, answers, cards(bads, library, lambda: progress.advance(task)))
    path = out or runs[0] / "report.html"
    path.write_text(document, encoding="utf-8")
    console.print(f"wrote {path}", highlight=False, soft_wrap=True)


def _scored(run: Path) -> Scored:
    plan, about = read_plan(run), read_about(run)
    return Scored(run.resolve().name, read_board(run), (plan.model, about.endpoint, plan.data, about.began))


def _library(where: str, console: Console) -> Library | None:
    try:
        return open_library(where)
    except DatasetError as error:
        console.print(f"[yellow]no pictures: {error}[/]")
        return None
