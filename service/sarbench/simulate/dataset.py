"""A whole data set: images by all cores, texts and boxes beside them, the same bytes however many cores there are."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from functools import partial
from pathlib import Path

import numpy as np

from sarbench.dataset.layout import Split
from sarbench.errors import DatasetError
from sarbench.simulate.annotation import write_coco
from sarbench.simulate.captions import captions
from sarbench.simulate.chip import Chip, generator, simulate_chip
from sarbench.simulate.geotiff import Encoding, write_geotiff
from sarbench.simulate.picture import picture_of
from sarbench.simulate.qa import QA, Balance
from sarbench.simulate.questions import ask
from sarbench.simulate.texts import IMAGES, Texts
from sarbench.simulate.truth import Truth

CHUNK = 16
"""Images that a worker makes at a time."""
SETTINGS = "simulation.json"
"""The file that says how a data set was made."""


class Format(StrEnum):
    """What the images of a data set are files of."""

    PNG = "png"
    DN = "dn"
    LINEAR = "linear"
    DB = "db"

    @property
    def suffix(self) -> str:
        """The files' suffix."""
        return ".png" if self is Format.PNG else ".tif"

    def write(self, chip: Chip, path: Path) -> None:
        """Write one chip, so that ``path`` is either whole or not there."""
        draft = path.with_name(f".{path.name}")
        if self is Format.PNG:
            draft.write_bytes(picture_of(chip.scene, chip.scene.cols).data)
        else:
            write_geotiff(chip.scene, draft, Encoding(self.value))
        draft.replace(path)


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that a data set depends on: ``images`` to learn from, ``test`` images, their ``size`` in pixels."""

    images: int
    test: int
    seed: int = 0
    size: int = 256
    format: Format = Format.PNG

    def splits(self) -> tuple[tuple[Split, int], ...]:
        """Each split and its number of images."""
        return (("train", self.images), ("test", self.test))


@dataclass(frozen=True, slots=True)
class Texted:
    """What a worker tells of an image that it made."""

    truth: Truth
    questions: list[QA]
    captions: tuple[str, str]


def simulate_dataset(out: Path, recipe: Recipe, jobs: int, advance: Callable[[int], None] = lambda _: None) -> None:
    """Write the data set into ``out`` with ``jobs`` processes; ``advance`` is told of images as they are done.

    Images that are there already are kept, so that a run which was cut off goes on where it stopped.

    Raises:
        DatasetError: ``out`` holds a data set that was made otherwise.
    """
    _claim(out, recipe)
    (out / IMAGES).mkdir(exist_ok=True)
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        for split, number in recipe.splits():
            chunks = [range(first, min(first + CHUNK, number)) for first in range(0, number, CHUNK)]
            made = pool.map(partial(_make, out / IMAGES, recipe, split), chunks)
            write_texts(out, split, (texted for chunk in _told(made, advance) for texted in chunk))


def write_texts(out: Path, split: Split, images: Iterable[Texted]) -> None:
    """Write the captions and the balanced questions of ``images``, and their boxes, into ``out``."""
    balance, truths = Balance(), []
    with Texts(out, split) as texts:
        for image in images:
            truths.append(replace(image.truth, place=None))
            texts.caption(image.truth.image, *image.captions)
            for qa in balance.take(image.questions):
                texts.question(image.truth.image, qa)
    (out / "annotations").mkdir(exist_ok=True)
    write_coco(truths, out / "annotations" / f"{split}.json")


def text_of(truth: Truth, rng: np.random.Generator) -> Texted:
    """The questions and captions that an image's truth gives."""
    return Texted(truth, ask(truth, rng), captions(truth))


def _make(folder: Path, recipe: Recipe, split: Split, indices: range) -> list[Texted]:
    """Runs in a worker: make the images that are not there yet, and say what is in all of them."""
    told = []
    for index in indices:
        chip = simulate_chip(recipe.seed, index, recipe.size, split)
        truth = replace(chip.truth, image=chip.truth.image + recipe.format.suffix)
        path = folder / truth.image
        if not path.exists():
            recipe.format.write(chip, path)
        told.append(text_of(truth, generator(recipe.seed, index, split, purpose=1)))
    return told


def _told(chunks: Iterator[list[Texted]], advance: Callable[[int], None]) -> Iterator[list[Texted]]:
    for chunk in chunks:
        advance(len(chunk))
        yield chunk


def _claim(out: Path, recipe: Recipe) -> None:
    """Write down how the data set is made, or see that it was to be made the same way."""
    out.mkdir(parents=True, exist_ok=True)
    path, settings = out / SETTINGS, json.dumps(asdict(recipe), indent=2) + "\n"
    if path.exists() and path.read_text() != settings:
        raise DatasetError(f"{out} holds a simulation made with other settings: choose another --out or see {SETTINGS}")
    path.write_text(settings)
