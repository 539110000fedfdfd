"""A data set as a whole: its parts, its images, and the rows that fit together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from obstore.store import ObjectStore

from sarbench.dataset import store as shelf
from sarbench.dataset.layout import Part, Split, images_of, parts_of, strange_texts
from sarbench.dataset.rows import Fault, Item, read_rows
from sarbench.errors import DatasetError


@dataclass(frozen=True)
class Library:
    """SARLANG-1M, or a data set in its layout, where it lies."""

    where: str
    parts: tuple[Part, ...]
    strangers: tuple[str, ...]
    """CSV and JSON files among the texts that have no released name."""
    text_bytes: Mapping[str, int]
    """Size of each part's file in bytes, by path."""
    _images: Mapping[str, str] = field(repr=False)
    _store: ObjectStore = field(repr=False)

    def of_split(self, split: Split | None) -> tuple[Part, ...]:
        """The parts of one split; all of them for None."""
        return tuple(part for part in self.parts if split in {None, part.split})

    def rows(self, part: Part, seen: Callable[[int], None] = lambda _: None) -> Iterator[Item | Fault]:
        """A part's rows as they stream in; a row without its image in the data set is a Fault.

        ``seen`` is told the size of each piece of text, in bytes, before its rows come.

        Raises:
            DatasetError: the file as a whole cannot be read.
        """
        for row in read_rows(part, self._pieces(part, seen)):
            if isinstance(row, Item) and self.image_path(row.image) is None:
                yield Fault(part.path, row.line, f"no image {row.image} under SARimages")
            else:
                yield row

    def _pieces(self, part: Part, seen: Callable[[int], None]) -> Iterator[bytes]:
        for piece in shelf.chunks(self._store, part.path):
            seen(len(piece))
            yield piece

    def image_path(self, name: str) -> str | None:
        """Where an image lies under ``where``, in any case and with any image suffix; None where it is missing."""
        lower = name.lower()
        return self._images.get(lower) or self._images.get(lower.rpartition(".")[0])

    def image(self, name: str) -> bytes:
        """The bytes of an image.

        Raises:
            DatasetError: it is missing or cannot be read.
        """
        path = self.image_path(name)
        if path is None:
            raise DatasetError(f"no image {name} under SARimages")
        return shelf.read(self._store, path)


def open_library(where: str) -> Library:
    """Look at what lies in a directory or under ``s3://bucket/prefix``; no text or image is read yet.

    Raises:
        DatasetError: nothing of the kind is there.
    """
    store = shelf.open_store(where)
    found = shelf.sizes(store)
    parts = parts_of(found)
    texts = {part.path: found[part.path] for part in parts}
    return Library(where, parts, strange_texts(found), texts, images_of(found), store)
