"""The report page: runs side by side, published figures, and the worst answers of the first run."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from sarbench.report import detail_sections, question_sections
from sarbench.report.caption_section import caption_section
from sarbench.report.comparison import comparison_warnings
from sarbench.report.html.elements import ScoredRun, run_labels, table
from sarbench.report.html.style import STYLESHEET
from sarbench.run.answers import Answer

DOCUMENT = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width,initial-scale=1"><style>{style}</style></head>
<body><h1>SARLANG-1M report</h1>{body}</body></html>
"""
WORST_ANSWERS = """<h2>The worst answers of {run}</h2>
<p class="soft">Questions by the strict rule, captions by CIDEr, alternating between applications. A yellow frame is the
region that the question names.</p>"""


def render_page(runs: Sequence[ScoredRun], answers: Sequence[Sequence[Answer]], cards: str) -> str:
    """Return the HTML document. ``answers`` has those of each run; ``cards`` belong to the first run."""
    scorecard = runs[0].scorecard
    sections = [_run_table(runs), comparison_warnings(runs, answers)]
    if scorecard.strict:
        sections += [
            question_sections.strict_section(runs),
            question_sections.accuracy_charts(runs),
            detail_sections.paired_section(runs, answers),
            question_sections.counting_section(answers[0]),
            question_sections.lenient_section(runs),
            question_sections.paper_section(runs),
            detail_sections.breakdown_section(runs[0]),
            detail_sections.calibration_section(runs),
        ]
    else:
        sections.append("<h2>Questions</h2><p>The first run has no questions.</p>")
    if scorecard.captions:
        sections.append(caption_section(runs, answers[0]))
    else:
        sections.append("<h2>Captions</h2><p>The first run has no captions.</p>")
    sections += [WORST_ANSWERS.format(run=escape(runs[0].label)), cards]
    title = escape(f"SARLANG-1M: {', '.join(run.label for run in runs)}")
    return DOCUMENT.format(title=title, style=STYLESHEET, body="".join(sections))


def _run_table(runs: Sequence[ScoredRun]) -> str:
    rows = [
        (
            "",
            (
                label,
                *map(escape, run.metadata),
                f"{run.scorecard.all_texts.answered:,} of {run.scorecard.all_texts.texts:,}",
            ),
        )
        for label, run in zip(run_labels(runs), runs, strict=True)
    ]
    header = ("Run", "Model", "Endpoint", "Data", "Started", "Answered")
    warnings = "".join(map(_unanswered_warning, runs))
    return f'<div class="runs">{table(header, rows, text_columns=5)}</div>{warnings}'


def _unanswered_warning(run: ScoredRun) -> str:
    coverage = run.scorecard.all_texts
    missing = coverage.texts - coverage.answered
    if not missing:
        return ""
    causes = escape(coverage.causes)
    return (
        f'<p class="warn">{missing:,} of {coverage.texts:,} texts of {escape(run.label)} have no answer and count as '
        f"wrong: {causes}.</p>"
    )
