"""Simulated chips as the gateway renders them, with their questions, in shards on disk.

A shard is two files: ``NAME.npy``, uint8 pictures of shape (image, side, side), and ``NAME.json``, what is known of
each. Both are written whole or not at all, so making shards goes on where it was cut off.
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

from sarbench.dataset.layout import Split
from sarbench.nano.architecture import IMAGE_SIDE
from sarbench.simulate.captions import captions
from sarbench.simulate.chip import generator, simulate_chip
from sarbench.simulate.picture import picture_of
from sarbench.simulate.qa import QA, Balance
from sarbench.simulate.questions import ask
from sarbench.simulate.truth import Truth
from sarlens.prompts.applications import CATEGORIES, Application

SHARD = 500
"""Chips in a shard; answers are balanced within it."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a picture: its questions, captions (concise, complex) and boxes.

    A box is the number of its category among ``CATEGORIES``, then x, y, width and height in pixels.
    """

    questions: tuple[QA, ...]
    captions: tuple[str, str]
    boxes: tuple[tuple[float, ...], ...]


class Chips(Sequence[tuple[NDArray[np.uint8], Known]]):
    """The chips of some shards, read as they are asked for, ``without`` the questions of some applications."""

    def __init__(self, shards: Sequence[Path], without: Collection[Application] = ()) -> None:
        self._pictures = [np.load(shard, mmap_mode="r") for shard in shards]
        self._known = [_known(shard.with_suffix(".json"), without) for shard in shards]
        self._place = [(shard, row) for shard, known in enumerate(self._known) for row in range(len(known))]

    def __len__(self) -> int:
        return len(self._place)

    def __getitem__(self, index: int) -> tuple[NDArray[np.uint8], Known]:  # type: ignore[override]
        shard, row = self._place[index]
        return self._pictures[shard][row], self._known[shard][row]


def make_shards(
    folder: Path, split: Split, images: int, *, seed: int, jobs: int, advance: Callable[[int], None] = lambda _: None
) -> list[Path]:
    """Make what is missing of the shards for ``images`` chips, and return all; ``advance`` hears how many came."""
    folder.mkdir(parents=True, exist_ok=True)
    ranges = [range(first, min(first + SHARD, images)) for first in range(0, images, SHARD)]
    shards = [folder / f"{split}-{seed}-{chips.start}-{chips.stop}.npy" for chips in ranges]
    missing = [(shard, chips) for shard, chips in zip(shards, ranges, strict=True) if not shard.exists()]
    advance(images - sum(len(chips) for _, chips in missing))
    if missing:
        with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
            for made in pool.map(partial(_make_shard, split, seed), *zip(*missing, strict=True)):
                advance(made)
    return shards


def _make_shard(split: Split, seed: int, shard: Path, indices: range) -> int:
    balance = Balance()
    pictures = np.empty((len(indices), IMAGE_SIDE, IMAGE_SIDE), np.uint8)
    told = []
    for row, index in enumerate(indices):
        chip = simulate_chip(seed, index, IMAGE_SIDE, split)
        pictures[row] = np.asarray(Image.open(BytesIO(picture_of(chip.scene, IMAGE_SIDE).data)).convert("L"))
        asked = balance.take(ask(chip.truth, generator(seed, index, split, purpose=1)))
        told.append(asdict(Known(tuple(asked), captions(chip.truth), _boxes(chip.truth))))
    texts = shard.with_suffix(".json")
    draft = texts.with_name(f".{texts.name}")
    draft.write_text(json.dumps(told), encoding="utf-8")
    draft.replace(texts)
    draft = shard.with_name(f".{shard.name}")
    np.save(draft, pictures)
    draft.replace(shard)
    return len(indices)


def _boxes(truth: Truth) -> tuple[tuple[float, ...], ...]:
    return tuple((CATEGORIES.index(seen.category), *seen.box) for seen in truth.objects)


def _known(path: Path, without: Collection[Application]) -> list[Known]:
    return [
        Known(
            tuple(qa for qa in map(_question, row["questions"]) if qa.application not in without),
            tuple(row["captions"]),
            tuple(map(tuple, row["boxes"])),
        )
        for row in json.loads(path.read_text(encoding="utf-8"))
    ]


def _question(row: dict[str, Any]) -> QA:
    return QA(**{**row, "application": Application(row["application"])})
