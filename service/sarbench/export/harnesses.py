"""Tasks for evaluation harnesses: a TSV file for VLMEvalKit, and a task folder for lmms-eval."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import orjson

from sarbench.export.records import Record

VLMEVALKIT_COLUMNS = ("index", "image_path", "question", "answer", "category", "split", "key")
"""Columns of a custom data set of VLMEvalKit; ``question`` has the prompt."""

_LMMS_TASK = """# Task of lmms-eval, written by sarbench export. Run it with --include_path {folder}
task: {name}
dataset_path: json
dataset_kwargs:
  data_files:
    test: {data}
test_split: test
output_type: generate_until
doc_to_visual: !function utils.doc_to_visual
doc_to_text: !function utils.doc_to_text
doc_to_target: answer
generation_kwargs:
  max_new_tokens: 128
  temperature: 0
  do_sample: false
process_results: !function utils.process_results
metric_list:
  - metric: strict
    aggregation: mean
    higher_is_better: true
  - metric: lenient
    aggregation: mean
    higher_is_better: true
  - metric: paper_without_judge
    aggregation: mean
    higher_is_better: true
metadata:
  - version: 1.0
"""

_LMMS_UTILS = '''"""Functions of a task of lmms-eval. They need the package sarlens, which has the rules of sarbench."""

from PIL import Image

from sarbench.score.lenient_rule import is_leniently_correct
from sarbench.score.paper_rule import PaperVerdict, apply_paper_rule
from sarbench.score.strict_rule import is_strictly_correct


def doc_to_visual(doc):
    """Return the image of a text."""
    return [Image.open(doc["image"]).convert("RGB")]


def doc_to_text(doc, lmms_eval_specific_kwargs=None):
    """Return the prompt of the paper."""
    return doc["prompt"]


def process_results(doc, results):
    """Return 1 or 0 by each rule."""
    answer, truth = results[0], doc["answer"]
    return {
        "strict": float(is_strictly_correct(truth, answer)),
        "lenient": float(is_leniently_correct(truth, answer)),
        "paper_without_judge": float(apply_paper_rule(truth, answer) is PaperVerdict.CORRECT),
    }
'''


def write_vlmevalkit(records: Iterable[Record], out: Path, name: str, split: str) -> int:
    """Write ``NAME.tsv`` for the folder ``LMUData``, and return the number of records."""
    count = 0
    with (out / f"{name}.tsv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, delimiter="\t", lineterminator="\n")
        rows.writerow(VLMEVALKIT_COLUMNS)
        for count, record in enumerate(records, 1):
            row = (record.image, record.prompt, record.answer, record.application, split, record.key)
            rows.writerow((count - 1, *row))
    return count


def write_lmms_eval(records: Iterable[Record], out: Path, name: str) -> int:
    """Write ``NAME.jsonl``, ``NAME.yaml``, and ``utils.py``, and return the number of records."""
    data = out / f"{name}.jsonl"
    count = 0
    with data.open("wb") as file:
        for record in records:
            file.write(orjson.dumps(asdict(record) | {"image": str(record.image)}, option=orjson.OPT_APPEND_NEWLINE))
            count += 1
    task = _LMMS_TASK.format(name=name, folder=out.absolute(), data=orjson.dumps(str(data.absolute())).decode())
    (out / f"{name}.yaml").write_text(task, encoding="utf-8")
    (out / "utils.py").write_text(_LMMS_UTILS, encoding="utf-8")
    return count
