"""Synthetic data set in the layout of the SARLANG-1M release, without any of its data."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL import Image

from sarlens.prompts.applications import QUESTION_PROMPT, Application

DARWIN = "SV_Darwin_-12.4278_130.8688.png"
NICE = "France_Alpes-Maritimes_Nice_3.png"
SARDET = "0009787.jpg"

BOXED: tuple[tuple[str, str, str, Application], ...] = (
    (SARDET, "How many harbors are located in the image?", "2", Application.INSTANCE_COUNTING),
    (SARDET, "How many tanks are located in the image?", "4", Application.INSTANCE_COUNTING),
    (
        SARDET,
        "What is the object present in the area [56.0, 191.0, 112.0, 122.0]?",
        "aircraft",
        Application.REGION_REFERRING,
    ),
    (SARDET, "Where are most harbors positioned within the image?", "bottom", Application.OBJECT_POSITIONING),
    (SARDET, "Where are most bridges positioned within the image?", "left", Application.OBJECT_POSITIONING),
    (SARDET, "Are there any ships in the image?", "No", Application.OBJECT_IDENTIFICATION),
)
"""Questions in the wording of SARVQA1."""

GENERAL: tuple[tuple[str, str, str, Application], ...] = (
    (NICE, "Is there a road around the stadium?", "Yes", Application.OBJECT_IDENTIFICATION),
    (DARWIN, "Are there any surrounding trees?", "Yes.", Application.OBJECT_IDENTIFICATION),
    (NICE, "What natural feature is at the top center?", "Dense trees", Application.OBJECT_CLASSIFICATION),
    (NICE, "What type of area is mostly visible?", "Forest/park", Application.OBJECT_CLASSIFICATION),
    (NICE, "Where is the orchard located?", "top left", Application.OBJECT_POSITIONING),
    (DARWIN, "What is the shape of the pools?", "Rectangular", Application.OTHERS),
    (DARWIN, "What is the direction of the main road?", "Diagonal", Application.OTHERS),
    (DARWIN, "How are the houses arranged?", "Grid pattern", Application.OTHERS),
    (DARWIN, "What is the land cover of this area?", "Urban", Application.OTHERS),
    (DARWIN, "What might these buildings be used for?", "Commercial and residential", Application.OTHERS),
)
"""Questions in the wording of SARVQA2."""

CONCISE = (
    (DARWIN, "An industrial area with several large tanks next to a river."),
    (NICE, "A marina with docked boats and one large building."),
)
COMPLEX = (
    (DARWIN, "A river, crossed by a bridge, passes docked boats and a dense industrial area with storage tanks."),
    (NICE, "A golf course with trees and a pond is next to a residential area, with roads around it."),
)


def write_released(root: Path, *, train: bool = False) -> Path:
    """Write images and texts of the test split, and with ``train`` of the training split.

    The CSV headers have the stray spaces of the release, which loaders strip.
    """
    (root / "SARimages").mkdir(parents=True)
    for index, name in enumerate((DARWIN, NICE, SARDET)):
        Image.radial_gradient("L").rotate(90 * index).resize((64, 48)).save(root / "SARimages" / name)
    for split in ("train", "test") if train else ("test",):
        write_questions(root / f"Text/VQA/{split}/SARVQA1_{split}.csv", [row[:3] for row in BOXED])
        write_questions(root / f"Text/VQA/{split}/SARVQA2_{split}.csv", [row[:3] for row in GENERAL])
    if train:
        write_csv(root / "Text/caption/Caption-training.csv", (" Image Name", "Caption"), (*CONCISE, *COMPLEX))
    write_csv(root / "Text/caption/Caption_test1.csv", ("Image Name ", "Caption"), CONCISE)
    write_csv(root / "Text/caption/Caption_test.csv", ("Image Name", " Caption "), COMPLEX)
    return root


def write_questions(path: Path, rows: Iterable[Sequence[str]]) -> Path:
    """Write a CSV file of questions."""
    return write_csv(path, ("Image Name", " Question", "Answer "), rows)


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> Path:
    """Write a CSV file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def conversation(image: str, question: str, answer: str) -> dict[str, object]:
    """Return a row of the released JSON."""
    content = f"<image>{QUESTION_PROMPT.format(question=question)}"
    messages = [{"role": "user", "content": content}, {"role": "assistant", "content": answer}]
    return {"messages": messages, "images": [f"SARimages/{image}"]}


def write_conversations(path: Path, rows: Iterable[Sequence[str]]) -> Path:
    """Write a JSON file of questions, one row per line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("[\n" + ",\n".join(json.dumps(conversation(*row[:3])) for row in rows) + "\n]\n")
    return path
