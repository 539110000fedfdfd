"""Counts of a data set per application, split, and subset, as the paper tabulates them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from sarbench.dataset.release_files import Split, TextFile
from sarbench.dataset.rows import InvalidRow, Sample
from sarbench.dataset.sarlang import SarlangDataset
from sarbench.errors import DatasetError
from sarlens.prompts.applications import Application
from sarlens.prompts.classify import others_subtype

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
"""Texts per application, from the table in the README of SARLANG-1M."""

PUBLISHED_OTHERS: Mapping[str, int] = MappingProxyType(
    {"Reasoning": 14_048, "Shape": 2_391, "Direction": 1_103, "Pattern": 857, "Land Cover": 80}
)
"""Questions per subtype of Others, read from a figure in the README of SARLANG-1M."""

PUBLISHED_SPLITS: Mapping[str, tuple[int, int, int, int]] = MappingProxyType(
    {"Captions": (9_341, 4_005, 31_968, 13_682), "Questions": (103_834, 14_497, 955_372, 125_255)}
)
"""Train images, test images, train texts, and test texts, from a third party's summary of the paper."""


@dataclass
class DatasetCounts:
    """Counts of valid rows, and the errors of rows and files that were not counted."""

    texts: Counter[tuple[Application, Split]] = field(default_factory=Counter)
    others_subtypes: Counter[tuple[str, Split]] = field(default_factory=Counter)
    rows: Counter[TextFile] = field(default_factory=Counter)
    images: defaultdict[TextFile, set[str]] = field(default_factory=lambda: defaultdict(set))
    errors: list[InvalidRow | DatasetError] = field(default_factory=list)

    def add(self, sample: Sample) -> None:
        """Count one sample."""
        split = sample.file.split
        application = sample.application
        self.texts[application, split] += 1
        if application is Application.OTHERS:
            self.others_subtypes[others_subtype(sample.question), split] += 1
        self.rows[sample.file] += 1
        self.images[sample.file].add(sample.image.lower())

    def counts_by_split(self) -> Mapping[str, tuple[int, int, int, int]]:
        """Return the counts in the shape of ``PUBLISHED_SPLITS``. Each image counts once per split."""
        return {"Captions": self._split_counts(captions=True), "Questions": self._split_counts(captions=False)}

    def _split_counts(self, *, captions: bool) -> tuple[int, int, int, int]:
        files = [file for file in self.rows if file.subset.is_caption is captions]
        train, test = ([file for file in files if file.split == split] for split in ("train", "test"))
        images = [len(set[str]().union(*(self.images[file] for file in split_files))) for split_files in (train, test)]
        texts = [sum(self.rows[file] for file in split_files) for split_files in (train, test)]
        return images[0], images[1], texts[0], texts[1]


def count_dataset(dataset: SarlangDataset, on_bytes: Callable[[int], None] = lambda _: None) -> DatasetCounts:
    """Count every row of every text file. ``on_bytes`` receives the size in bytes of each chunk read."""
    counts = DatasetCounts()
    for file in dataset.files:
        try:
            for row in dataset.rows(file, on_bytes):
                if isinstance(row, InvalidRow):
                    counts.errors.append(row)
                else:
                    counts.add(row)
        except DatasetError as error:
            counts.errors.append(error)
    return counts
