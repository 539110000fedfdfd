"""Simulated data sets: images, texts, and boxes in the layout of SARLANG-1M.

The files don't depend on the number of processes.
"""

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

from sarbench.dataset.release_files import Split
from sarbench.errors import DatasetError
from sarbench.simulate.captions import make_captions
from sarbench.simulate.chip import Chip, chip_rng, simulate_chip
from sarbench.simulate.coco import write_coco
from sarbench.simulate.geotiff import Encoding, write_geotiff
from sarbench.simulate.ground_truth import GroundTruth
from sarbench.simulate.qa import QA, AnswerBalancer
from sarbench.simulate.questions import generate_questions
from sarbench.simulate.render import render_scene
from sarbench.simulate.text_files import IMAGE_DIR, TextFiles

IMAGES_PER_TASK = 16
"""Images that a worker process simulates per task."""
CONFIG_FILE = "simulation.json"
"""File with the configuration of the data set."""


class ImageFormat(StrEnum):
    """File format of the images."""

    PNG = "png"
    DN = "dn"
    LINEAR = "linear"
    DB = "db"

    @property
    def suffix(self) -> str:
        """File name suffix."""
        return ".png" if self is ImageFormat.PNG else ".tif"

    def write(self, chip: Chip, path: Path) -> None:
        """Write one chip atomically to ``path``."""
        draft = path.with_name(f".{path.name}")
        if self is ImageFormat.PNG:
            draft.write_bytes(render_scene(chip.scene, chip.scene.cols).data)
        else:
            write_geotiff(chip.scene, draft, Encoding(self.value))
        draft.replace(path)


@dataclass(frozen=True, slots=True)
class SimulationConfig:
    """Parameters of a data set: numbers of train and test images, seed, side in pixels, and file format."""

    images: int
    test: int
    seed: int = 0
    size: int = 256
    format: ImageFormat = ImageFormat.PNG

    def splits(self) -> tuple[tuple[Split, int], ...]:
        """Return each split with its number of images."""
        return (("train", self.images), ("test", self.test))


@dataclass(frozen=True, slots=True)
class AnnotatedImage:
    """Ground truth of an image with its questions and captions."""

    truth: GroundTruth
    questions: list[QA]
    captions: tuple[str, str]


def simulate_dataset(
    out: Path, config: SimulationConfig, jobs: int, advance: Callable[[int], None] = lambda _: None
) -> None:
    """Write a data set into ``out`` with ``jobs`` processes. ``advance`` receives the number of finished images.

    Existing images are kept, so an interrupted simulation resumes.

    Raises:
        DatasetError: ``out`` holds a data set with a different configuration.
    """
    _save_or_check_config(out, config)
    (out / IMAGE_DIR).mkdir(exist_ok=True)
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        for split, number in config.splits():
            chunks = [range(first, min(first + IMAGES_PER_TASK, number)) for first in range(0, number, IMAGES_PER_TASK)]
            annotated = pool.map(partial(_simulate_images, out / IMAGE_DIR, config, split), chunks)
            write_texts(out, split, (texted for chunk in _with_progress(annotated, advance) for texted in chunk))


def write_texts(out: Path, split: Split, images: Iterable[AnnotatedImage]) -> None:
    """Write captions, balanced questions, and boxes of ``images`` into ``out``."""
    balancer, truths = AnswerBalancer(), []
    with TextFiles(out, split) as texts:
        for image in images:
            truths.append(replace(image.truth, site=None))
            texts.add_captions(image.truth.image, *image.captions)
            for qa in balancer.select(image.questions):
                texts.add_question(image.truth.image, qa)
    (out / "annotations").mkdir(exist_ok=True)
    write_coco(truths, out / "annotations" / f"{split}.json")


def annotate_image(truth: GroundTruth, rng: np.random.Generator) -> AnnotatedImage:
    """Generate the questions and captions of an image from its ground truth."""
    return AnnotatedImage(truth, generate_questions(truth, rng), make_captions(truth))


def _simulate_images(folder: Path, config: SimulationConfig, split: Split, indices: range) -> list[AnnotatedImage]:
    """Write the missing images of one task, and return the annotations of all its images. Runs in a worker process."""
    annotated = []
    for index in indices:
        chip = simulate_chip(config.seed, index, config.size, split)
        truth = replace(chip.truth, image=chip.truth.image + config.format.suffix)
        path = folder / truth.image
        if not path.exists():
            config.format.write(chip, path)
        annotated.append(annotate_image(truth, chip_rng(config.seed, index, split, purpose=1)))
    return annotated


def _with_progress(
    chunks: Iterator[list[AnnotatedImage]], advance: Callable[[int], None]
) -> Iterator[list[AnnotatedImage]]:
    for chunk in chunks:
        advance(len(chunk))
        yield chunk


def _save_or_check_config(out: Path, config: SimulationConfig) -> None:
    """Write the configuration, or check that an existing one is equal."""
    out.mkdir(parents=True, exist_ok=True)
    path, document = out / CONFIG_FILE, json.dumps(asdict(config), indent=2) + "\n"
    if path.exists() and path.read_text() != document:
        raise DatasetError(f"{out} holds a data set with different settings (see {CONFIG_FILE}): choose another --out")
    path.write_text(document)
