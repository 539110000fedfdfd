"""Which of the released files holds what, told from its name.

The names are those of the release's README and of loaders that have read it, in any case and any folder:
``Caption-training.csv`` (mixed), ``Caption_test.csv`` (complex), ``Caption_test1.csv`` (concise),
``Caption_{train,test}_SARLANG-1M.json``, ``SARVQA{1,2}_{train,test}.{csv,json}``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Literal, NamedTuple

from sarbench.errors import DatasetError


class Variety(StrEnum):
    """The kinds of captions, and the two halves of the questions."""

    MIXED = "mixed"
    COMPLEX = "complex"
    CONCISE = "concise"
    SARVQA1 = "SARVQA1"
    """Questions made from the boxes of SARDet-100K."""
    SARVQA2 = "SARVQA2"
    """General questions on the three high-resolution sources."""

    @property
    def is_caption(self) -> bool:
        """Whether rows hold a caption instead of a question and its answer."""
        return self in {Variety.MIXED, Variety.COMPLEX, Variety.CONCISE}


Split = Literal["train", "test"]


@dataclass(frozen=True, slots=True)
class Part:
    """One released text file; ``path`` is relative to the data set's root."""

    path: str
    split: Split
    variety: Variety

    @property
    def is_json(self) -> bool:
        """Whether rows are JSON, else CSV."""
        return self.path.lower().endswith(".json")

    @property
    def columns(self) -> Mapping[str, str]:
        """The CSV's columns, each with the field of ``Text`` that it fills."""
        return CAPTION_COLUMNS if self.variety.is_caption else QUESTION_COLUMNS


class Text(NamedTuple):
    """The fields of one row as they are released, before anything is known to be good."""

    image: str
    question: str
    answer: str


CAPTION_COLUMNS = {"Image Name": "image", "Caption": "answer"}
QUESTION_COLUMNS = {"Image Name": "image", "Question": "question", "Answer": "answer"}
CAPTIONS = re.compile(r"caption[-_](?P<split>train(?:ing)?|test)(?P<one>1?)(?:_sarlang-1m)?\.(?:csv|json)")
QUESTIONS = re.compile(r"sarvqa(?P<half>[12])[-_](?P<split>train(?:ing)?|test)\.(?:csv|json)")
IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp"})


def part_of(path: str) -> Part | None:
    """What a file holds, or None where its name is not one of the release's."""
    name = PurePosixPath(path).name.lower()
    if found := QUESTIONS.fullmatch(name):
        return Part(path, _split(found["split"]), Variety(f"SARVQA{found['half']}"))
    if found := CAPTIONS.fullmatch(name):
        split = _split(found["split"])
        if split == "train":
            return None if found["one"] else Part(path, split, Variety.MIXED)
        return Part(path, split, Variety.CONCISE if found["one"] else Variety.COMPLEX)
    return None


def parts_of(paths: Iterable[str]) -> tuple[Part, ...]:
    """The parts of a data set, sorted; where one is there as CSV and as JSON, the CSV is read.

    Raises:
        DatasetError: no file has a released name, or two of one format hold the same part.
    """
    chosen: dict[tuple[Split, Variety], Part] = {}
    for part in sorted(filter(None, map(part_of, paths)), key=lambda part: (part.is_json, part.path)):
        holder = chosen.setdefault((part.split, part.variety), part)
        if holder is not part and holder.is_json == part.is_json:
            raise DatasetError(f"{holder.path} and {part.path} both hold {part.variety} {part.split}: keep one of them")
    if not chosen:
        raise DatasetError(
            "no text file of SARLANG-1M is here: expected names such as Text/VQA/SARVQA1_test.csv "
            "or Text/caption/Caption_test.csv"
        )
    return tuple(sorted(chosen.values(), key=lambda part: (part.variety, part.split)))


def strange_texts(paths: Iterable[str]) -> tuple[str, ...]:
    """CSV and JSON files under a folder ``Text`` whose names are not the release's."""
    texts = (path for path in paths if path.lower().endswith((".csv", ".json")))
    return tuple(path for path in texts if "text" in _folders(path) and part_of(path) is None)


def images_of(paths: Iterable[str]) -> Mapping[str, str]:
    """Lower-case file name → path, for what lies under ``SARimages`` or ``SARimages_preprocessed``.

    A name without its suffix leads to the image too, as rows may say ``.png`` where the raw ``.tif`` was kept.
    Of two images with one name the preprocessed wins; optical pairs, which share names, are never taken.
    """
    held = [path for path in paths if _is_sar_image(path)]
    found: dict[str, str] = {}
    for path in sorted(held, key=lambda path: ("sarimages_preprocessed" not in _folders(path), path)):
        found.setdefault(PurePosixPath(path).name.lower(), path)
    for path in tuple(found.values()):
        found.setdefault(PurePosixPath(path).stem.lower(), path)
    return found


def _split(word: str) -> Split:
    return "test" if word == "test" else "train"


def _folders(path: str) -> list[str]:
    return path.lower().split("/")[:-1]


def _is_sar_image(path: str) -> bool:
    folders = _folders(path)
    suffix = PurePosixPath(path).suffix.lower()
    return suffix in IMAGE_SUFFIXES and ("sarimages" in folders or "sarimages_preprocessed" in folders)
