"""Scores of predictions made elsewhere."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from sarbench.cli import app
from sarlens.prompts.applications import CAPTION_PROMPT, QUESTION_PROMPT
from support.sarlang_fixture import BOXED, COMPLEX, CONCISE, GENERAL, write_released


def score(*arguments: str) -> Result:
    """Run ``sarbench score``."""
    return CliRunner().invoke(app, ["score", *arguments], env={"COLUMNS": "200"})


def scores(run: Path) -> dict[str, Any]:
    """Return the scores of a run."""
    document: dict[str, Any] = json.loads((run / "score.json").read_text())
    return document


def write_rows(path: Path, rows: Iterable[Sequence[str]]) -> Path:
    """Write rows as CSV."""
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return path


@pytest.mark.slow
def test_the_result_of_the_authors_script_is_scored(tmp_path: Path) -> None:
    """The four columns of ``VQA_result.csv`` have no header; the paper's rule counts 14 for 4 as the script does."""
    rows = [
        (image, {"2": "3", "4": "14"}.get(truth, truth), question, truth)
        for image, question, truth, _ in (*BOXED, *GENERAL)
    ]
    result = score(str(write_rows(tmp_path / "VQA_result.csv", rows)))
    assert result.exit_code == 0, result.output
    score_ = scores(tmp_path / "VQA_result-run")
    assert score_["model"] == "VQA_result"
    assert score_["strict"]["overall"] | {"low": 0, "high": 0} == {"n": 16, "mean": 14 / 16, "low": 0, "high": 0}
    assert score_["paper"]["accuracy"]["overall"]["mean"] == 15 / 16
    assert score_["strict"]["region_referring"]["n"] == 1


@pytest.mark.slow
def test_predictions_of_llama_factory_are_scored(tmp_path: Path) -> None:
    """``generated_predictions.jsonl`` has prompts in a chat template, predictions, and labels, without images."""
    path = tmp_path / "generated_predictions.jsonl"
    template = "<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>{}<|im_end|>\n<|im_start|>assistant\n"
    records = [
        {"prompt": template.format(QUESTION_PROMPT.format(question=question)), "predict": truth, "label": truth}
        for _, question, truth, _ in BOXED
    ]
    caption = template.format(CAPTION_PROMPT)
    records += [{"prompt": caption, "predict": text, "label": text} for _, text in CONCISE]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    assert score(str(path), "--model", "qwen").exit_code == 0
    score_ = scores(tmp_path / "generated_predictions-run")
    assert score_["strict"]["overall"]["mean"] == 1.0
    assert score_["strict"]["instance_counting"]["n"] == 2
    assert score_["captions"]["mixed"]["cider"]["mean"] == pytest.approx(10)
    texts = [json.loads(line) for line in (tmp_path / "generated_predictions-run/texts.jsonl").read_text().splitlines()]
    assert texts[0]["question"] == BOXED[0][1]


def test_predictions_are_matched_with_a_data_set(tmp_path: Path) -> None:
    """With a data set, predictions have images and subsets, and texts without a prediction count as wrong."""
    data = write_released(tmp_path / "data", train=True)
    rows = [("question", "response", "truth"), *((question, truth, truth) for _, question, truth, _ in BOXED[1:])]
    rows += [(CAPTION_PROMPT, text, text) for _, text in (*CONCISE, *COMPLEX)]
    path = write_rows(tmp_path / "some.csv", rows)
    result = score(str(path), "--data", str(data), "--out", str(tmp_path / "run"))
    assert result.exit_code == 0, result.output
    assert "11 of 20 texts have no answer and count as wrong: 11 not sent" in result.output
    score_ = scores(tmp_path / "run")
    assert score_["strict"]["overall"]["mean"] == 5 / 16
    assert {subset: caption["n"] for subset, caption in score_["captions"].items()} == {"complex": 2, "concise": 2}
    assert "from the train split" in score_["baselines"]["majority_from"]


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([("a", "b", "c")], "no columns for prediction and truth; its columns are: a, b, c"),
        ([("image", "prediction", "truth"), ("x", "1")], "2 fields instead of 3"),
        ([], "has no predictions"),
        ([("question", "prediction", "truth"), ("Other?", "1", "1")], "no text of the data set has this question"),
    ],
)
def test_a_bad_file_is_named(rows: list[tuple[str, ...]], reason: str, tmp_path: Path) -> None:
    """A file or row that isn't a prediction gives one sentence, with its line."""
    data = write_released(tmp_path / "data")
    result = score(str(write_rows(tmp_path / "p.csv", rows)), "--data", str(data))
    assert result.exit_code == 1
    assert reason in result.output


def test_a_bad_row_can_be_skipped(tmp_path: Path) -> None:
    """With --skip-bad-rows, the other rows are scored, and the number of bad ones is printed."""
    path = tmp_path / "p.jsonl"
    path.write_text('{"predict": "7", "label": "7", "prompt": "How many ships?"}\n{"label": "7"}\nnonsense\n')
    assert "2 invalid rows" in score(str(path)).output
    result = score(str(path), "--skip-bad-rows")
    assert result.exit_code == 0, result.output
    assert "2 invalid rows skipped" in result.output
    assert scores(tmp_path / "p-run")["strict"]["instance_counting"]["mean"] == 1.0


@pytest.mark.slow
def test_an_import_never_replaces_a_run_of_an_endpoint(tmp_path: Path) -> None:
    """A directory whose run asked an endpoint is refused; that of an earlier import is replaced."""
    path = write_rows(tmp_path / "p.csv", [("question", "prediction", "truth"), ("How many?", "1", "2")])
    assert score(str(path)).exit_code == 0
    write_rows(path, [("question", "prediction", "truth"), ("How many?", "2", "2")])
    assert score(str(path)).exit_code == 0
    run = tmp_path / "p-run"
    assert scores(run)["strict"]["overall"]["mean"] == 1.0
    (run / "run.json").write_text((run / "run.json").read_text().replace("imported predictions", "http://host/v1"))
    assert "holds a run that asked an endpoint" in score(str(path)).output
