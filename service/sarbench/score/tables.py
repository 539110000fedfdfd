"""Scores as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterable

from rich.table import Table

from sarbench.score.board import OVERALL, Board, CaptionScore
from sarbench.score.bootstrap import Mean
from sarlens.prompts.applications import Application


def title_of(group: str) -> str:
    """How a row of accuracies is called."""
    return "Overall" if group == OVERALL else Application(group).heading


def percent(mean: Mean | None) -> str:
    """A mean times 100 over its interval; a dash where there is nothing."""
    return "-" if mean is None else f"{100 * mean.mean:.1f}\n[dim]{100 * mean.low:.1f}-{100 * mean.high:.1f}[/]"


def accuracy_table(board: Board) -> Table:
    """Accuracy by both rules beside the majority baseline, overall and per application."""
    table = Table(title=f"{board.model}{' (blacked out)' if board.blackout else ''}")
    table.add_column("Accuracy, %", no_wrap=True)
    for column in ("n", "Strict", "Paper", "Unjudged", "Majority"):
        table.add_column(column, justify="right")
    for group, strict in board.strict.items():
        table.add_row(
            title_of(group),
            f"{strict.n:,}",
            percent(strict),
            percent(board.paper.accuracy[group]),
            f"{board.paper.unjudged[group]:,}",
            percent(board.baselines.majority.get(group)),
            end_section=group == OVERALL,
        )
    return table


def caption_table(board: Board) -> Table:
    """BLEU, ROUGE-L and CIDEr times 100, as the paper prints them, for each kind of caption."""
    table = Table("Times 100")
    for column in ("n", "BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L", "CIDEr"):
        table.add_column(column, justify="right")
    for variety, score in board.captions.items():
        table.add_row(variety, *_cells(score))
        if nearest := board.baselines.retrieval.get(variety):
            table.add_row("nearest", *_cells(nearest), style="dim")
    return table


def _cells(score: CaptionScore) -> Iterable[str]:
    return (f"{score.n:,}", *(f"{100 * part:.1f}" for part in score.bleu), percent(score.rouge_l), percent(score.cider))
