"""Report section about captions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from sarbench.report.html.charts import histogram
from sarbench.report.html.elements import ScoredRun, mean_cell, run_labels, table
from sarbench.report.published import CIDERS, PROVENANCE
from sarbench.run.answers import Answer
from sarbench.score.caption_metrics import CaptionPair, cider
from sarbench.score.scorecard import CaptionMetrics, captions_by_subset
from sarbench.score.tables import EMPTY_CELLS, format_coverage

COLUMNS = ("Captions", "Source", "Texts", "Answered", "BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L", "CIDEr")


def caption_section(runs: Sequence[ScoredRun], answers: Sequence[Answer]) -> str:
    """Return tables of caption scores of all runs, the baseline, and the paper, and histograms of the first run."""
    rows: list[tuple[str, Iterable[str]]] = []
    for subset in runs[0].scorecard.captions:
        for label, run in zip(run_labels(runs), runs, strict=True):
            if score := run.scorecard.captions.get(subset):
                coverage = format_coverage(run.scorecard.coverage[subset])
                rows.append(("", (escape(subset), label, *_score_cells(score, f"{score.n:,}", coverage))))
                rows.append(("", (f"{escape(subset)}, PTB", label, *_score_cells(score.tokenized, "", ""))))
        nearest = runs[0].scorecard.baselines.retrieval.get(subset)
        cells = _score_cells(nearest, f"{nearest.n:,}", "-") if nearest else EMPTY_CELLS
        rows.append(("dim", (escape(subset), "caption of the nearest image", *cells)))
    published_rows = [("", (row.name, row.setting, f"{row.complex_:.2f}", f"{row.concise:.2f}")) for row in CIDERS]
    published_table = table(("Published CIDEr", "Setting", "Complex", "Concise"), published_rows, text_columns=2)
    return (
        '<h2>Captions</h2><p class="soft">All scores are multiplied by 100. The maximum of CIDEr is 1000. '
        "Rows with PTB are computed after the tokenizer of the Penn Treebank, as most other papers do; the others are "
        "those of the SARLANG-1M paper.</p>"
        f"{table(COLUMNS, rows, text_columns=2)}"
        f'<div class="beside"><div class="panels grow">{"".join(_histograms(answers))}</div>'
        f'<div class="published">{published_table}<p><small>{PROVENANCE}</small></p></div></div>'
    )


def _score_cells(score: CaptionMetrics, count: str, coverage: str) -> Iterable[str]:
    return (
        count,
        coverage,
        *(f"{100 * part:.1f}" for part in score.bleu),
        mean_cell(score.rouge_l),
        mean_cell(score.cider),
    )


def _histograms(answers: Sequence[Answer]) -> Iterable[str]:
    for subset, group in captions_by_subset(answers).items():
        scores = [100 * score for score in cider([CaptionPair(answer.truth, answer.text) for answer in group])]
        title = f"CIDEr of {subset} captions"
        yield f'<div class="panel"><h3>{title}</h3>{histogram(title, scores, 1000)}</div>'
