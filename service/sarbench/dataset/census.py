"""Counts of a data set as the paper tabulates them: per application, split and kind of text."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from sarbench.dataset.layout import Part, Split
from sarbench.dataset.library import Library
from sarbench.dataset.rows import Fault, Item
from sarbench.errors import DatasetError
from sarlens.prompts.applications import Application
from sarlens.prompts.classify import other_kind

PUBLISHED: Mapping[Application, int] = MappingProxyType(
    {
        Application.IMAGE_DESCRIPTION: 45_650,
        Application.OBJECT_IDENTIFICATION: 484_620,
        Application.OBJECT_CLASSIFICATION: 132_525,
        Application.INSTANCE_COUNTING: 117_382,
        Application.REGION_REFERRING: 221_450,
        Application.OBJECT_POSITIONING: 106_171,
        Application.OTHERS: 18_479,
    }
)
"""Texts per application as the README of SARLANG-1M tabulates them."""

PUBLISHED_OTHERS: Mapping[str, int] = MappingProxyType(
    {"Reasoning": 14_048, "Shape": 2_391, "Direction": 1_103, "Pattern": 857, "Land Cover": 80}
)
"""Questions per kind of Others, read off the README's figure."""

PUBLISHED_SPLITS: Mapping[str, tuple[int, int, int, int]] = MappingProxyType(
    {"Captions": (9_341, 4_005, 31_968, 13_682), "Questions": (103_834, 14_497, 955_372, 125_255)}
)
"""Images of train and test, then texts of train and test, as a third party's summary of the paper gives them."""


@dataclass
class Census:
    """What was counted, and what could not be."""

    texts: Counter[tuple[Application, Split]] = field(default_factory=Counter)
    others: Counter[tuple[str, Split]] = field(default_factory=Counter)
    rows: Counter[Part] = field(default_factory=Counter)
    images: defaultdict[Part, set[str]] = field(default_factory=lambda: defaultdict(set))
    faults: list[Fault | DatasetError] = field(default_factory=list)

    def add(self, item: Item) -> None:
        """Count one text."""
        split = item.part.split
        application = item.application
        self.texts[application, split] += 1
        if application is Application.OTHERS:
            self.others[other_kind(item.question), split] += 1
        self.rows[item.part] += 1
        self.images[item.part].add(item.image.lower())

    def splits(self) -> Mapping[str, tuple[int, int, int, int]]:
        """The same counts as ``PUBLISHED_SPLITS``; an image is counted once however many texts it has."""
        return {"Captions": self._split_counts(caption=True), "Questions": self._split_counts(caption=False)}

    def _split_counts(self, *, caption: bool) -> tuple[int, int, int, int]:
        parts = [part for part in self.rows if part.variety.is_caption is caption]
        train, test = ([part for part in parts if part.split == split] for split in ("train", "test"))
        images = [len(set[str]().union(*(self.images[part] for part in side))) for side in (train, test)]
        texts = [sum(self.rows[part] for part in side) for side in (train, test)]
        return images[0], images[1], texts[0], texts[1]


def take_census(library: Library, seen: Callable[[int], None] = lambda _: None) -> Census:
    """Count every row of every part; ``seen`` is told how many bytes of text were read."""
    census = Census()
    for part in library.parts:
        try:
            for row in library.rows(part, seen):
                if isinstance(row, Fault):
                    census.faults.append(row)
                else:
                    census.add(row)
        except DatasetError as error:
            census.faults.append(error)
    return census
