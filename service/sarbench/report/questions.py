"""The sections about questions: both rules, a plot for each application, and how the model counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from html import escape

from sarbench.report.markup import BASELINE_COLOUR, Scored, cell, colour_of, keys, table
from sarbench.report.published import ACCURACIES, PROVENANCE
from sarbench.report.svg import Bar, heatmap, whiskers
from sarbench.run.answers import Answer
from sarbench.score.board import OVERALL
from sarbench.score.tables import title_of
from sarlens.prompts.applications import Application
from sarlens.prompts.words import whole_number

COUNTED = 12
"""Highest count with a column of its own."""

STRICT = """<h2>Questions, by the strict rule</h2>
<p class="soft">Accuracy in percent, beneath it the 95 % bootstrap interval over images. An answer is right when it says
the truth and nothing else: the same integer, the same of nine places, or the same words but for case, plurals and a
table of synonyms. The majority answer is taken {origin}.</p>"""

PAPER = """<h2>Questions, by the paper's rule</h2>
<p class="soft">An answer that contains the truth is right, so that “unknown” passes for “no” and “14” for “4”; what
remains is put to a language model.</p>"""


def strict(runs: Sequence[Scored]) -> str:
    """Accuracy by the strict rule of every run, and the majority answer's."""
    board = runs[0].board
    rows = [
        (
            group,
            (
                title_of(group),
                f"{rate.n:,}",
                *(cell(run.board.strict.get(group)) for run in runs),
                cell(board.baselines.majority.get(group)),
            ),
        )
        for group, rate in board.strict.items()
    ]
    head = ("Application", "Questions", *keys(runs), "Majority answer")
    return STRICT.format(origin=escape(board.baselines.majority_from)) + table(head, rows)


def plots(runs: Sequence[Scored]) -> str:
    """A panel for each application."""
    return f'<div class="panels">{"".join(_panel(runs, group) for group in runs[0].board.strict)}</div>'


def _panel(runs: Sequence[Scored], group: str) -> str:
    rates = [(run.label, run.board.strict.get(group), colour_of(place)) for place, run in enumerate(runs)]
    rates.append(("Majority answer", runs[0].board.baselines.majority.get(group), BASELINE_COLOUR))
    bars = [Bar(name, rate, colour) for name, rate, colour in rates if rate is not None]
    title = title_of(group)
    return f'<div class="panel"><h3>{title}</h3>{whiskers(f"Strict accuracy, {title}, in percent", bars)}</div>'


def counting(answers: Sequence[Answer]) -> str:
    """True counts against answered ones; nothing where there was nothing to count."""
    pairs: Counter[tuple[int, int | None]] = Counter()
    for answer in answers:
        truth = whole_number(answer.truth)
        if answer.application is Application.INSTANCE_COUNTING and truth is not None and truth <= COUNTED:
            said = whole_number(answer.answer)
            pairs[truth, said if said is not None and said <= COUNTED else None] += 1
    if not pairs:
        return ""
    highest = max(max(truth, said or 0) for truth, said in pairs)
    drawn = heatmap("True counts against answered counts", pairs, highest)
    return f'<h2>How it counts</h2><div class="panel fit">{drawn}</div>'


def paper(runs: Sequence[Scored]) -> str:
    """Accuracy by the paper's rule of every run, and the published figures."""
    rows = [
        (group, (title_of(group), f"{rate.n:,}", *(cell(run.board.paper.accuracy.get(group)) for run in runs)))
        for group, rate in runs[0].board.strict.items()
    ]
    published = [("", (escape(row.who), escape(row.how), f"{row.accuracy:.2f}")) for row in ACCURACIES]
    ours = table(("Application", "Questions", *keys(runs)), rows)
    theirs = table(("As published", "How", "Accuracy"), published, words=2)
    return (
        f'{PAPER}{"".join(map(_unjudged, runs))}<div class="beside">{ours}'
        f'<div class="published">{theirs}<p><small>{PROVENANCE}</small></p></div></div>'
    )


def _unjudged(run: Scored) -> str:
    left = run.board.paper.unjudged.get(OVERALL, 0)
    judge = run.board.paper.judge
    if not left:
        return ""
    why = f"{escape(judge)} gave no verdict" if judge else "no judge was given"
    return f'<p class="warn">{left:,} answers of {escape(run.label)} need the judge, {why}: they count as wrong.</p>'
