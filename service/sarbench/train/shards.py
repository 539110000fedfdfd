"""Shards of simulated chips on disk, rendered by the gateway's pipeline, with their labels.

A shard is two files: ``NAME.npy``, uint8 images of shape (image, side, side), and ``NAME.json``, the labels of each
image. Both are written atomically, so an interrupted simulation resumes.
"""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sarbench.dataset.release_files import Split
from sarbench.nano.dimensions import IMAGE_SIDE
from sarbench.simulate.captions import make_captions
from sarbench.simulate.chip import chip_rng, simulate_chip
from sarbench.simulate.ground_truth import GroundTruth
from sarbench.simulate.qa import QA, AnswerBalancer
from sarbench.simulate.questions import generate_questions
from sarbench.simulate.render import render_scene
from sarlens.prompts.applications import CATEGORIES, Application

CHIPS_PER_SHARD = 500
"""Chips per shard. Answers are balanced within a shard."""


@dataclass(frozen=True, slots=True)
class ChipLabels:
    """Labels of a chip: questions, captions (concise, complex), and boxes.

    A box is a category index in ``CATEGORIES``, then x, y, width, and height in pixels.
    """

    questions: tuple[QA, ...]
    captions: tuple[str, str]
    boxes: tuple[tuple[float, ...], ...]


class ShardedChips(Sequence[tuple[NDArray[np.uint8], ChipLabels]]):
    """The chips of some shards, read on access, without the questions of ``excluded`` applications."""

    def __init__(self, shards: Sequence[Path], excluded: Collection[Application] = ()) -> None:
        self._images = [np.load(shard, mmap_mode="r") for shard in shards]
        self._labels = [_read_labels(shard.with_suffix(".json"), excluded) for shard in shards]
        self._locations = [(shard, row) for shard, labels in enumerate(self._labels) for row in range(len(labels))]

    def __len__(self) -> int:
        return len(self._locations)

    def __getitem__(self, index: int) -> tuple[NDArray[np.uint8], ChipLabels]:  # type: ignore[override]
        shard, row = self._locations[index]
        return self._images[shard][row], self._labels[shard][row]


def make_shards(
    folder: Path, split: Split, images: int, *, seed: int, jobs: int, advance: Callable[[int], None] = lambda _: None
) -> list[Path]:
    """Simulate the missing shards for ``images`` chips, and return the paths of all shards.

    ``advance`` receives the number of chips that became available.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ranges = [range(first, min(first + CHIPS_PER_SHARD, images)) for first in range(0, images, CHIPS_PER_SHARD)]
    shards = [folder / f"{split}-{seed}-{chips.start}-{chips.stop}.npy" for chips in ranges]
    missing = [(shard, chips) for shard, chips in zip(shards, ranges, strict=True) if not shard.exists()]
    advance(images - sum(len(chips) for _, chips in missing))
    if missing:
        with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
            for count in pool.map(partial(_make_shard, split, seed), *zip(*missing, strict=True)):
                advance(count)
    return shards


def _make_shard(split: Split, seed: int, shard: Path, indices: range) -> int:
    balancer = AnswerBalancer()
    images = np.empty((len(indices), IMAGE_SIDE, IMAGE_SIDE), np.uint8)
    labels = []
    for row, index in enumerate(indices):
        chip = simulate_chip(seed, index, IMAGE_SIDE, split)
        images[row] = np.asarray(Image.open(BytesIO(render_scene(chip.scene, IMAGE_SIDE).data)).convert("L"))
        questions = balancer.select(generate_questions(chip.truth, chip_rng(seed, index, split, purpose=1)))
        labels.append(asdict(ChipLabels(tuple(questions), make_captions(chip.truth), _boxes(chip.truth))))
    labels_path = shard.with_suffix(".json")
    draft = labels_path.with_name(f".{labels_path.name}")
    draft.write_text(json.dumps(labels), encoding="utf-8")
    draft.replace(labels_path)
    draft = shard.with_name(f".{shard.name}")
    np.save(draft, images)
    draft.replace(shard)
    return len(indices)


def _boxes(truth: GroundTruth) -> tuple[tuple[float, ...], ...]:
    return tuple((CATEGORIES.index(labeled.category), *labeled.box) for labeled in truth.objects)


def _read_labels(path: Path, excluded: Collection[Application]) -> list[ChipLabels]:
    return [
        ChipLabels(
            tuple(qa for qa in map(_parse_question, row["questions"]) if qa.application not in excluded),
            tuple(row["captions"]),
            tuple(map(tuple, row["boxes"])),
        )
        for row in json.loads(path.read_text(encoding="utf-8"))
    ]


def _parse_question(row: dict[str, Any]) -> QA:
    return QA(**{**row, "application": Application(row["application"])})
