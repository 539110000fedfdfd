"""Images of a data set, found by the path that a row names."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath

from sarbench.errors import DatasetError

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp"})
RELEASE_FOLDERS = ("sarimages_preprocessed", "sarimages", "sarimages_original")
"""Folders of SAR images in the release, in the order in which an image of several folders is chosen."""


MAX_CACHED_NAMES = 4096
"""Names whose images are kept, because consecutive rows share an image."""


@dataclass(frozen=True, slots=True)
class ImagePath:
    """An image: its path in the data set, and its folders below those of the release, in lower case."""

    path: str
    folders: tuple[str, ...]
    rank: int

    @property
    def relative_path(self) -> str:
        """Path below the folder of the release, such as ``SARDet/0001.png``."""
        return "/".join(PurePosixPath(self.path).parts[-len(self.folders) - 1 :])


class ImageIndex:
    """The SAR images of a data set. Case and image suffix don't count; optical images are left out."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._images: defaultdict[str, list[ImagePath]] = defaultdict(list)
        for path in paths:
            *folders, name = path.lower().split("/")
            if PurePosixPath(name).suffix in IMAGE_SUFFIXES and (found := set(folders) & set(RELEASE_FOLDERS)):
                rank = min(map(RELEASE_FOLDERS.index, found))
                self._images[PurePosixPath(name).stem].append(ImagePath(path, _below_release(folders), rank))
        self.find = lru_cache(MAX_CACHED_NAMES)(self._find)

    def _find(self, name: str) -> ImagePath | None:
        """Return the image that a row names, or None if it is missing.

        A name without folders is that of an image in any folder. The folders that a row names must be those of the
        image, as far as both have some.

        Raises:
            DatasetError: several images match equally well.
        """
        *row_folders, file_name = _split(name.lower())
        folders = _below_release(row_folders)
        # A row of a file without an image suffix can have a dot in its name, such as a coordinate.
        stems = dict.fromkeys((PurePosixPath(file_name).stem, file_name))
        candidates = [image for stem in stems for image in self._images.get(stem, ()) if _fits(folders, image.folders)]
        if not candidates:
            return None
        best = max(_common_folders(folders, image.folders) for image in candidates)
        closest = [image for image in candidates if _common_folders(folders, image.folders) == best]
        if len({image.folders for image in closest}) > 1:
            paths = " and ".join(sorted(image.path for image in closest)[:2])
            raise DatasetError(f"the image {name} is ambiguous: {paths}; name its folder")
        return min(closest, key=lambda image: _preference(image, row_folders, file_name))


def _preference(image: ImagePath, row_folders: list[str], file_name: str) -> tuple[bool, int, bool, str]:
    """Prefer the folder of the release that the row names, then a preprocessed image, then the same suffix."""
    named = RELEASE_FOLDERS[image.rank] in row_folders and RELEASE_FOLDERS[image.rank] != "sarimages"
    return not named, image.rank, PurePosixPath(image.path).name.lower() != file_name, image.path


def _split(name: str) -> list[str]:
    return [part for part in re.split(r"[/\\]", name.strip()) if part not in {"", "."}] or [""]


def _below_release(folders: list[str]) -> tuple[str, ...]:
    """Return the folders below the last one of the release, or all of them."""
    last = max((index for index, folder in enumerate(folders) if folder in RELEASE_FOLDERS), default=-1)
    return tuple(folders[last + 1 :])


def _common_folders(first: tuple[str, ...], second: tuple[str, ...]) -> int:
    """Return the number of equal folders, counted from the file."""
    common = 0
    for one, other in zip(reversed(first), reversed(second), strict=False):
        if one != other:
            break
        common += 1
    return common


def _fits(first: tuple[str, ...], second: tuple[str, ...]) -> bool:
    return _common_folders(first, second) == min(len(first), len(second))
