"""File names of the SARLANG-1M release.

The names come from the README of the release and from public loaders. Case and folder are ignored:
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

HOW_TO_GET_DATA = (
    "Download SARLANG-1M from https://huggingface.co/datasets/YiminJimmy/SARLANG-1M and unpack Text.zip, "
    "or simulate a data set with sarbench simulate"
)


class Subset(StrEnum):
    """Caption type, or one of the two question sets."""

    MIXED = "mixed"
    COMPLEX = "complex"
    CONCISE = "concise"
    SARVQA1 = "SARVQA1"
    """Questions generated from the bounding boxes of SARDet-100K."""
    SARVQA2 = "SARVQA2"
    """General questions about the three high-resolution sources."""

    @property
    def is_caption(self) -> bool:
        """Whether rows hold a caption instead of a question and its answer."""
        return self in {Subset.MIXED, Subset.COMPLEX, Subset.CONCISE}


Split = Literal["train", "test"]


@dataclass(frozen=True, slots=True)
class TextFile:
    """One released text file. ``path`` is relative to the root of the data set."""

    path: str
    split: Split
    subset: Subset

    @property
    def is_json(self) -> bool:
        """Whether the file is JSON; otherwise it is CSV."""
        return self.path.lower().endswith(".json")

    @property
    def columns(self) -> Mapping[str, str]:
        """Map each CSV column to the field of ``RawRow`` that it fills."""
        return CAPTION_COLUMNS if self.subset.is_caption else QUESTION_COLUMNS


class RawRow(NamedTuple):
    """The released fields of one row, before validation."""

    image: str
    question: str
    answer: str


CAPTION_COLUMNS = {"Image Name": "image", "Caption": "answer"}
QUESTION_COLUMNS = {"Image Name": "image", "Question": "question", "Answer": "answer"}
CAPTION_FILE = re.compile(r"caption[-_](?P<split>train(?:ing)?|test)(?P<one>1?)(?:_sarlang-1m)?\.(?:csv|json)")
QUESTION_FILE = re.compile(r"sarvqa(?P<half>[12])[-_](?P<split>train(?:ing)?|test)\.(?:csv|json)")


def parse_file_name(path: str) -> TextFile | None:
    """Return the text file that a path names, or None for an unknown name."""
    name = PurePosixPath(path).name.lower()
    if match := QUESTION_FILE.fullmatch(name):
        return TextFile(path, _split(match["split"]), Subset(f"SARVQA{match['half']}"))
    if match := CAPTION_FILE.fullmatch(name):
        split = _split(match["split"])
        if split == "train":
            return None if match["one"] else TextFile(path, split, Subset.MIXED)
        return TextFile(path, split, Subset.CONCISE if match["one"] else Subset.COMPLEX)
    return None


def find_text_files(paths: Iterable[str]) -> tuple[TextFile, ...]:
    """Return the text files of a data set, sorted. If a file exists as CSV and as JSON, the CSV is used.

    Raises:
        DatasetError: no file has a released name, or two files of one format hold the same subset and split.
    """
    chosen: dict[tuple[Split, Subset], TextFile] = {}
    for file in sorted(filter(None, map(parse_file_name, paths)), key=lambda file: (file.is_json, file.path)):
        other = chosen.setdefault((file.split, file.subset), file)
        if other is not file and other.is_json == file.is_json:
            raise DatasetError(f"{other.path} and {file.path} both hold {file.subset} {file.split}: remove one of them")
    if not chosen:
        raise DatasetError(
            "no text files of SARLANG-1M found: expected names such as Text/VQA/SARVQA1_test.csv "
            f"or Text/caption/Caption_test.csv. {HOW_TO_GET_DATA}"
        )
    return tuple(sorted(chosen.values(), key=lambda file: (file.subset, file.split)))


def find_unrecognized_files(paths: Iterable[str]) -> tuple[str, ...]:
    """Return CSV and JSON files below a ``Text`` folder whose names are not in the release."""
    texts = (path for path in paths if path.lower().endswith((".csv", ".json")))
    return tuple(path for path in texts if "text" in _folders(path) and parse_file_name(path) is None)


def _split(word: str) -> Split:
    return "test" if word == "test" else "train"


def _folders(path: str) -> list[str]:
    return path.lower().split("/")[:-1]
