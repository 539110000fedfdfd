"""The ``sarbench report`` command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from sarbench.dataset.sarlang import SarlangDataset, open_dataset
from sarbench.errors import DatasetError
from sarbench.preflight import prepare_file
from sarbench.report.answer_cards import answer_cards
from sarbench.report.html.elements import ScoredRun
from sarbench.report.page import render_page
from sarbench.report.worst_answers import worst_answers
from sarbench.run.answers import read_outcomes
from sarbench.run.config import load_config, load_metadata
from sarbench.score.scorecard import load_scorecard


def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN…", help="Scored runs. The first is shown in detail.")],
    out: Annotated[Path | None, typer.Option(help="File to write. [default: report.html in the first run]")] = None,
) -> None:
    """Write a self-contained HTML page with scores, published figures, charts, and the 100 worst answers."""
    path = out or runs[0] / "report.html"
    console = Console()
    scored_runs = [_load_scored_run(run) for run in runs]
    answers = [read_outcomes(run) for run in runs]
    dataset = _open_dataset(load_config(runs[0]).data, console)
    prepare_file(path)
    with Progress(console=console, transient=True) as progress:
        poor_answers = worst_answers(answers[0])
        task = progress.add_task("images", total=len(poor_answers))
        document = render_page(
            scored_runs, answers, answer_cards(poor_answers, dataset, lambda: progress.advance(task))
        )
    path.write_text(document, encoding="utf-8")
    console.print(f"wrote {path}", highlight=False, soft_wrap=True)


def _load_scored_run(run: Path) -> ScoredRun:
    config, metadata = load_config(run), load_metadata(run)
    return ScoredRun(
        run.resolve().name,
        load_scorecard(run),
        (config.model, metadata.endpoint, config.data, metadata.began),
        (config.limit, config.seed if config.limit else None, config.split),
    )


def _open_dataset(location: str, console: Console) -> SarlangDataset | None:
    try:
        return open_dataset(location)
    except DatasetError as error:
        console.print(f"[yellow]the report has no images: {error}[/]")
        return None
