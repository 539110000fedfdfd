"""Report sections that go into detail: groups of texts, paired comparisons, and calibration."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from sarbench.report.comparison import by_identity
from sarbench.report.html.charts import reliability_plot
from sarbench.report.html.elements import ScoredRun, covered_cell, table
from sarbench.run.answers import Answer
from sarbench.score.breakdown import is_right
from sarbench.score.paired import PairedComparison, compare
from sarbench.score.strict_rule import is_strictly_correct

MAX_GROUPS = 30
"""Rows of one table of groups; ``score.json`` has all."""

PAIRED_HEADING = """<h2>Paired comparison, by the strict rule</h2>
<p class="soft">On the questions that both runs have. The difference is in percentage points, with the 95 % bootstrap
interval over images. McNemar's exact test counts the questions that only one of the runs answers right.</p>"""

CALIBRATION_HEADING = """<h2>Calibration</h2>
<p class="soft">Confidence is the probability of all tokens of an answer. A calibrated model is right as often as it is
confident.</p>"""

BREAKDOWN_HEADING = """<h2>Groups of questions</h2>
<p class="soft">Source, city, and resolution are derived from the file names of images, and applications and types from
the wording of questions. The last table has the number of questions that each rule assigned.</p>"""


def breakdown_section(run: ScoredRun) -> str:
    """Return a table of accuracies for each dimension, and one of the rules that assigned the questions."""
    sections = []
    for dimension, groups in run.scorecard.breakdown.items():
        rows = [
            (
                "",
                (
                    escape(name),
                    f"{score.strict.n:,}",
                    covered_cell(score.strict, score.coverage),
                    covered_cell(score.lenient, score.coverage),
                ),
            )
            for name, score in list(groups.items())[:MAX_GROUPS]
        ]
        sections.append(table((dimension.capitalize(), "Questions", "Strict", "Lenient"), rows))
    audit = [
        ("", (escape(dimension), escape(_title(group)), escape(rule), f"{count:,}"))
        for dimension, groups in run.scorecard.assignments.items()
        if dimension in {"application", "source"}
        for group, rules in groups.items()
        for rule, count in rules.items()
    ]
    audit_table = table(("By", "Group", "Rule", "Questions"), audit, text_columns=3)
    return f'{BREAKDOWN_HEADING}<div class="beside">{"".join(sections)}</div>{audit_table}'


def _title(group: str) -> str:
    return group.replace("_", " ")


def paired_section(runs: Sequence[ScoredRun], answers: Sequence[Sequence[Answer]]) -> str:
    """Return a table that compares each other run with the first, or an empty string for one run."""
    first = {identity: answer for identity, answer in by_identity(answers[0]).items() if answer.question}
    rows = []
    for run, others in zip(runs[1:], answers[1:], strict=True):
        shared = [(first[key], answer) for key, answer in by_identity(others).items() if key in first]
        if shared:
            before, after = (
                [is_right(answer, is_strictly_correct) for answer in side] for side in zip(*shared, strict=True)
            )
            comparison = compare(before, after, [answer.image for answer, _ in shared])
            rows.append(("", (escape(run.label), *_paired_cells(comparison))))
    if not rows:
        return ""
    header = (f"Compared with {escape(runs[0].label)}", "Questions", "Difference", "Gained", "Lost", "p")
    return PAIRED_HEADING + table(header, rows)


def _paired_cells(comparison: PairedComparison) -> tuple[str, ...]:
    mean = comparison.difference
    difference = f"{100 * mean.mean:+.1f}<small>{100 * mean.low:+.1f} to {100 * mean.high:+.1f}</small>"
    p_value = f"{comparison.p_value:.3f}" if comparison.p_value >= 0.001 else "&lt; 0.001"
    return f"{mean.n:,}", difference, f"{comparison.gained:,}", f"{comparison.lost:,}", p_value


def calibration_section(runs: Sequence[ScoredRun]) -> str:
    """Return a reliability plot of each run with log-probabilities, or an empty string."""
    panels = [
        f'<div class="panel"><h3>{escape(run.label)}</h3>'
        f'<p class="soft">Expected calibration error: {100 * calibration.ece:.1f} % of {calibration.n:,} answers.</p>'
        f"{reliability_plot(f'Reliability of {run.label}', calibration.bins)}</div>"
        for run in runs
        if (calibration := run.scorecard.calibration) is not None
    ]
    if not panels:
        return ""
    return f'{CALIBRATION_HEADING}<div class="panels">{"".join(panels)}</div>'
