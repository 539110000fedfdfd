"""Report sections about questions: accuracy by both rules, a chart per application, and counting."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from html import escape

from sarbench.report.html.charts import Interval, heatmap, interval_chart
from sarbench.report.html.elements import (
    BASELINE_COLOR,
    ScoredRun,
    color_index,
    covered_mean_cell,
    mean_cell,
    run_labels,
    table,
)
from sarbench.report.published import ACCURACIES, PROVENANCE
from sarbench.run.answers import Answer
from sarbench.score.coverage import OVERALL
from sarbench.score.tables import group_title
from sarlens.prompts.applications import Application
from sarlens.prompts.final_answer import final_answer
from sarlens.prompts.normalize import parse_integer

MAX_COUNT_COLUMN = 12
"""Highest count with its own row and column."""

STRICT_HEADING = """<h2>Questions, by the strict rule</h2>
<p class="soft">Accuracy in percent, with the 95 % bootstrap interval over images. An answer is correct if it states the
truth and nothing else: the same integer, the same one of nine positions, or the same words apart from case, plurals,
and known synonyms. A text without an answer is wrong. Source of the majority answer: {origin}.</p>"""

LENIENT_HEADING = """<h2>Questions, by the lenient rule</h2>
<p class="soft">An answer is correct if it means the truth, also in a sentence: “Yes, there are ships.” for yes, or
“4 ships” for 4. The gateway reads typed values by the same rule.</p>"""

PAPER_HEADING = """<h2>Questions, by the paper's rule</h2>
<p class="soft">An answer that contains the truth is correct, so “unknown” passes for “no” and “14” for “4”. A language
model judges the remaining answers.</p>"""


def strict_section(runs: Sequence[ScoredRun]) -> str:
    """Return a table of strict accuracies of every run and of the majority answer."""
    scorecard = runs[0].scorecard
    rows = [
        (
            group,
            (
                group_title(group),
                f"{accuracy.n:,}",
                *(covered_mean_cell(run, run.scorecard.strict.get(group), group) for run in runs),
                mean_cell(scorecard.baselines.majority.get(group)),
            ),
        )
        for group, accuracy in scorecard.strict.items()
    ]
    header = ("Application", "Questions", *run_labels(runs), "Majority answer")
    return STRICT_HEADING.format(origin=escape(scorecard.baselines.majority_from)) + table(header, rows)


def accuracy_charts(runs: Sequence[ScoredRun]) -> str:
    """Return a chart of strict accuracy for each application."""
    return f'<div class="panels">{"".join(_accuracy_chart(runs, group) for group in runs[0].scorecard.strict)}</div>'


def _accuracy_chart(runs: Sequence[ScoredRun], group: str) -> str:
    accuracies = [(run.label, run.scorecard.strict.get(group), color_index(index)) for index, run in enumerate(runs)]
    accuracies.append(("Majority answer", runs[0].scorecard.baselines.majority.get(group), BASELINE_COLOR))
    bars = [Interval(name, accuracy, color) for name, accuracy, color in accuracies if accuracy is not None]
    title = group_title(group)
    return f'<div class="panel"><h3>{title}</h3>{interval_chart(f"Strict accuracy, {title}, in percent", bars)}</div>'


def counting_section(answers: Sequence[Answer]) -> str:
    """Return a heatmap of true against answered counts, or an empty string without counting questions."""
    pairs: Counter[tuple[int, int | None]] = Counter()
    for answer in answers:
        truth = parse_integer(answer.truth)
        if answer.application is Application.INSTANCE_COUNTING and truth is not None and truth <= MAX_COUNT_COLUMN:
            predicted = parse_integer(final_answer(answer.text))
            pairs[truth, predicted if predicted is not None and predicted <= MAX_COUNT_COLUMN else None] += 1
    if not pairs:
        return ""
    highest = max(max(truth, predicted or 0) for truth, predicted in pairs)
    chart = heatmap("True and answered counts", pairs, highest)
    return f'<h2>Counting</h2><div class="panel fit">{chart}</div>'


def lenient_section(runs: Sequence[ScoredRun]) -> str:
    """Return a table of lenient accuracies of every run."""
    rows = [
        (
            group,
            (
                group_title(group),
                f"{accuracy.n:,}",
                *(covered_mean_cell(run, run.scorecard.lenient.get(group), group) for run in runs),
            ),
        )
        for group, accuracy in runs[0].scorecard.lenient.items()
    ]
    return LENIENT_HEADING + table(("Application", "Questions", *run_labels(runs)), rows)


def paper_section(runs: Sequence[ScoredRun]) -> str:
    """Return a table of accuracies by the paper's rule of every run, and the published figures."""
    rows = [
        (
            group,
            (
                group_title(group),
                f"{accuracy.n:,}",
                *(covered_mean_cell(run, run.scorecard.paper.accuracy.get(group), group) for run in runs),
            ),
        )
        for group, accuracy in runs[0].scorecard.strict.items()
    ]
    published_rows = [("", (escape(row.name), escape(row.setting), f"{row.accuracy:.2f}")) for row in ACCURACIES]
    accuracy_table = table(("Application", "Questions", *run_labels(runs)), rows)
    published_table = table(("Published", "Setting", "Accuracy"), published_rows, text_columns=2)
    return (
        f'{PAPER_HEADING}{"".join(map(_unjudged_warning, runs))}<div class="beside">{accuracy_table}'
        f'<div class="published">{published_table}<p><small>{PROVENANCE}</small></p></div></div>'
    )


def _unjudged_warning(run: ScoredRun) -> str:
    unjudged = run.scorecard.paper.unjudged.get(OVERALL, 0)
    judge = run.scorecard.paper.judge
    if not unjudged:
        return ""
    reason = f"{escape(str(judge['model']))} gave no verdict" if judge else "no judge is configured"
    label = escape(run.label)
    return f'<p class="warn">{unjudged:,} answers of {label} need a judge, but {reason}: they count as wrong.</p>'
