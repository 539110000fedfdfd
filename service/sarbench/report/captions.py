"""The section about captions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from sarbench.report.markup import Scored, cell, keys, table
from sarbench.report.published import CIDERS, PROVENANCE
from sarbench.report.svg import histogram
from sarbench.run.answers import Answer
from sarbench.score.board import CaptionScore, by_variety
from sarbench.score.captions import Pair, cider

HEAD = ("Captions", "By", "Asked", "BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L", "CIDEr")


def captions(runs: Sequence[Scored], answers: Sequence[Answer]) -> str:
    """Scores of each kind of caption, the retrieval baseline's, the published ones, and how the first run's spread."""
    rows: list[tuple[str, Iterable[str]]] = []
    for variety in runs[0].board.captions:
        for key, run in zip(keys(runs), runs, strict=True):
            if score := run.board.captions.get(variety):
                rows.append(("", (escape(variety), key, *_cells(score))))
        if nearest := runs[0].board.baselines.retrieval.get(variety):
            rows.append(("dim", (escape(variety), "nearest image's caption", *_cells(nearest))))
    published = [("", (row.who, row.how, f"{row.complex_:.2f}", f"{row.concise:.2f}")) for row in CIDERS]
    theirs = table(("CIDEr as published", "How", "Complex", "Concise"), published, words=2)
    return (
        f'<h2>Captions</h2><p class="soft">All scores times 100; CIDEr can reach 1000.</p>{table(HEAD, rows, words=2)}'
        f'<div class="beside"><div class="panels grow">{"".join(_panels(answers))}</div>'
        f'<div class="published">{theirs}<p><small>{PROVENANCE}</small></p></div></div>'
    )


def _cells(score: CaptionScore) -> Iterable[str]:
    return (f"{score.n:,}", *(f"{100 * part:.1f}" for part in score.bleu), cell(score.rouge_l), cell(score.cider))


def _panels(answers: Sequence[Answer]) -> Iterable[str]:
    for variety, group in by_variety(answers).items():
        scores = [100 * score for score in cider([Pair(answer.truth, answer.answer) for answer in group])]
        title = f"CIDEr of {variety} captions"
        yield f'<div class="panel"><h3>{title}</h3>{histogram(title, scores, 1000)}</div>'
