"""A data set in the layout of SARLANG-1M: its text files, images, and validated rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256

from obstore.store import ObjectStore

from sarbench.dataset import store as shelf
from sarbench.dataset.image_index import ImageIndex
from sarbench.dataset.release_files import Split, TextFile, find_text_files, find_unrecognized_files
from sarbench.dataset.rows import InvalidRow, Sample, read_rows
from sarbench.errors import DatasetError


@dataclass(frozen=True)
class SarlangDataset:
    """SARLANG-1M, or another data set in its layout, in a directory or an S3 prefix."""

    location: str
    files: tuple[TextFile, ...]
    unrecognized_files: tuple[str, ...]
    """CSV and JSON files below ``Text`` whose names are not in the release."""
    text_bytes: Mapping[str, int]
    """Size in bytes of each text file, by path."""
    image_bytes: Mapping[str, int] = field(repr=False)
    """Size in bytes of each file of the data set, by path."""
    _images: ImageIndex = field(repr=False)
    _store: ObjectStore = field(repr=False)

    def files_of_split(self, split: Split | None) -> tuple[TextFile, ...]:
        """Return the text files of one split, or all of them for None."""
        return tuple(file for file in self.files if split in {None, file.split})

    def rows(self, file: TextFile, on_bytes: Callable[[int], None] = lambda _: None) -> Iterator[Sample | InvalidRow]:
        """Yield the rows of ``file`` while it streams in. A row whose image is missing is an InvalidRow.

        ``on_bytes`` receives the size in bytes of each chunk before its rows are yielded.

        Raises:
            DatasetError: the file as a whole cannot be read.
        """
        for row in read_rows(file, self._chunks(file, on_bytes)):
            yield self._with_image(row) if isinstance(row, Sample) else row

    def _with_image(self, row: Sample) -> Sample | InvalidRow:
        """Return a sample whose image has its path below the folder of the release."""
        try:
            image = self._images.find(row.image)
        except DatasetError as error:
            return InvalidRow(row.file.path, row.line, str(error))
        if image is None:
            return InvalidRow(row.file.path, row.line, f"no image {row.image} under SARimages")
        folders, name = image.relative_path.rpartition("/")[:2], row.image.replace("\\", "/").rpartition("/")[2]
        return replace(row, image="".join(folders) + name)

    def text_sha256(self, file: TextFile) -> str:
        """Return the hash of a text file, which any edit changes.

        Raises:
            DatasetError: the file cannot be read.
        """
        digest = sha256()
        for chunk in self._chunks(file, lambda _: None):
            digest.update(chunk)
        return digest.hexdigest()

    def _chunks(self, file: TextFile, on_bytes: Callable[[int], None]) -> Iterator[bytes]:
        for chunk in shelf.iter_chunks(self._store, file.path):
            on_bytes(len(chunk))
            yield chunk

    def image_path(self, name: str) -> str | None:
        """Return the path of an image relative to ``location``, or None. Case and image suffix are ignored.

        Raises:
            DatasetError: several images have this name.
        """
        image = self._images.find(name)
        return image.path if image else None

    def relative_image_path(self, name: str) -> str:
        """Return the path of an image below ``SARimages``, or the name itself if the image is missing.

        Raises:
            DatasetError: several images have this name.
        """
        image = self._images.find(name)
        return image.relative_path if image else name

    def read_image(self, name: str) -> bytes:
        """Return the bytes of an image.

        Raises:
            DatasetError: the image is missing or cannot be read.
        """
        path = self.image_path(name)
        if path is None:
            raise DatasetError(f"no image {name} under SARimages")
        return shelf.read_object(self._store, path)


def open_dataset(location: str) -> SarlangDataset:
    """List a directory or ``s3://bucket/prefix`` without reading texts or images.

    Raises:
        DatasetError: the location doesn't exist or has no text files of the release.
    """
    store = shelf.open_store(location)
    sizes = shelf.list_sizes(store)
    files = find_text_files(sizes)
    text_bytes = {file.path: sizes[file.path] for file in files}
    return SarlangDataset(location, files, find_unrecognized_files(sizes), text_bytes, sizes, ImageIndex(sizes), store)
