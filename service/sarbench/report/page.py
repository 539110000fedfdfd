"""The report: runs side by side, beside the paper's figures, and what went worst in the first of them."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from sarbench.report import questions
from sarbench.report.captions import captions
from sarbench.report.markup import Scored, keys, table
from sarbench.report.style import STYLE
from sarbench.run.answers import Answer

DOCUMENT = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width,initial-scale=1"><style>{style}</style></head>
<body><h1>SARLANG-1M report</h1>{body}</body></html>
"""
WORST = """<h2>The worst answers of {run}</h2>
<p class="soft">By the strict rule, and captions by their CIDEr; one application after the other gives its worst. A
yellow frame is the region asked about.</p>"""


def page(runs: Sequence[Scored], answers: Sequence[Answer], cards: str) -> str:
    """The whole document. ``answers`` and ``cards``, the worst of them, are the first run's."""
    board = runs[0].board
    sections = [_runs(runs)]
    if board.strict:
        sections += [questions.strict(runs), questions.plots(runs), questions.counting(answers), questions.paper(runs)]
    if board.captions:
        sections.append(captions(runs, answers))
    sections += [WORST.format(run=escape(runs[0].label)), cards]
    title = escape(f"SARLANG-1M: {', '.join(run.label for run in runs)}")
    return DOCUMENT.format(title=title, style=STYLE, body="".join(sections))


def _runs(runs: Sequence[Scored]) -> str:
    rows = [
        ("", (key, *map(escape, run.about), f"{run.board.answered:,} of {run.board.total:,}"))
        for key, run in zip(keys(runs), runs, strict=True)
    ]
    head = ("Run", "Model", "Endpoint", "Data", "Began", "Answered")
    return table(head, rows, words=5) + "".join(map(_unanswered, runs))


def _unanswered(run: Scored) -> str:
    missing = run.board.total - run.board.answered
    if not missing:
        return ""
    return f'<p class="warn">{missing:,} texts of {escape(run.label)} have no answer and are in no score.</p>'
