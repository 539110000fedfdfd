"""Score tables for the terminal."""

from __future__ import annotations

from collections.abc import Iterable

from rich.table import Table

from sarbench.score.bootstrap import MeanInterval
from sarbench.score.coverage import OVERALL, Coverage
from sarbench.score.scorecard import CaptionMetrics, Scorecard
from sarlens.prompts.applications import Application

EMPTY_CELLS = ("0", *"-------")
"""Cells of captions without a text."""


def group_title(group: str) -> str:
    """Return the title of a row of accuracies."""
    return "Overall" if group == OVERALL else Application(group).heading


def format_percent(mean: MeanInterval | None) -> str:
    """Format a mean and its interval in percent, or a dash for None."""
    return "-" if mean is None else f"{100 * mean.mean:.1f}\n[dim]{100 * mean.low:.1f}-{100 * mean.high:.1f}[/]"


def format_coverage(coverage: Coverage) -> str:
    """Format the share of texts with an answer, rounded down, so that 100 % means all of them."""
    share = 100.0 if coverage.answered == coverage.texts else min(100 * coverage.answered / coverage.texts, 99.9)
    return f"{share:.1f} %"


def accuracy_table(scorecard: Scorecard) -> Table:
    """Return a table of accuracies by all rules and of the majority baseline, overall and per application."""
    table = Table(title=f"{scorecard.model}{' (blacked out)' if scorecard.blackout else ''}")
    table.add_column("Accuracy, %", no_wrap=True)
    for column in ("n", "Answered", "Strict", "Lenient", "Paper", "Unjudged", "Majority"):
        table.add_column(column, justify="right")
    for group, strict in scorecard.strict.items():
        table.add_row(
            group_title(group),
            f"{strict.n:,}",
            format_coverage(scorecard.coverage[group]),
            format_percent(strict),
            format_percent(scorecard.lenient[group]),
            format_percent(scorecard.paper.accuracy[group]),
            f"{scorecard.paper.unjudged[group]:,}",
            format_percent(scorecard.baselines.majority.get(group)),
            end_section=group == OVERALL,
        )
    if not scorecard.strict:
        table.add_row(group_title(OVERALL), "0", *"------")
    return table


def caption_table(scorecard: Scorecard) -> Table:
    """Return a table of BLEU, ROUGE-L, and CIDEr times 100, as the paper prints them, per caption subset."""
    table = Table("Captions, scores times 100")
    for column in ("n", "Answered", "BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L", "CIDEr"):
        table.add_column(column, justify="right")
    for subset, score in scorecard.captions.items():
        table.add_row(subset, *_score_cells(score, f"{score.n:,}", format_coverage(scorecard.coverage[subset])))
        table.add_row(f"{subset}, PTB", *_score_cells(score.tokenized, "", ""))
        nearest = scorecard.baselines.retrieval.get(subset)
        table.add_row(
            "nearest", *(_score_cells(nearest, f"{nearest.n:,}", "-") if nearest else EMPTY_CELLS), style="dim"
        )
    if not scorecard.captions:
        table.add_row("none", *EMPTY_CELLS)
    return table


def _score_cells(score: CaptionMetrics, count: str, coverage: str) -> Iterable[str]:
    return (
        count,
        coverage,
        *(f"{100 * part:.1f}" for part in score.bleu),
        format_percent(score.rouge_l),
        format_percent(score.cider),
    )


def caption_warnings(scorecard: Scorecard) -> list[str]:
    """Return sentences about captions whose scores mislead."""
    warnings = []
    for subset, score in scorecard.captions.items():
        if score.n == 1:
            warnings.append(
                f"CIDEr of one {subset} caption is always 0: it compares words with those of other captions"
            )
        if score.empty:
            warnings.append(f"{score.empty:,} of {score.n:,} {subset} predictions are empty")
    if scorecard.captions:
        warnings.append("Compare the rows PTB with other papers, and the others with the SARLANG-1M paper")
    return warnings
