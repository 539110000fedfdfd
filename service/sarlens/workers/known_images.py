"""An index of the images in a worker's cache."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping


class KnownImages:
    """Ids and sizes of the last ``max_images`` images that a worker has received.

    The index can be wrong: a worker drops images when it restarts or needs memory. It then reports a cache miss.
    """

    def __init__(self, max_images: int) -> None:
        self._max_images = max_images
        self._ids: OrderedDict[str, int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, image_id: str) -> bool:
        return image_id in self._ids

    def has_all(self, image_ids: Iterable[str]) -> bool:
        """Return whether the worker holds all of these images."""
        return all(image_id in self._ids for image_id in image_ids)

    def total_bytes(self, image_ids: Iterable[str]) -> int:
        """Return the total size of these images in bytes; unknown images count 0."""
        return sum(self._ids.get(image_id, 0) for image_id in image_ids)

    def add(self, image_ids: Iterable[str], sizes: Mapping[str, int]) -> None:
        """Add images that the worker has just received or used; ``sizes`` holds the bytes of those that were sent."""
        for image_id in image_ids:
            self._ids[image_id] = sizes.get(image_id, self._ids.get(image_id, 0))
            self._ids.move_to_end(image_id)
        while len(self._ids) > self._max_images:
            self._ids.popitem(last=False)

    def discard(self, image_ids: Iterable[str]) -> None:
        """Remove images that the worker doesn't hold."""
        for image_id in image_ids:
            self._ids.pop(image_id, None)

    def clear(self) -> None:
        """Remove all images: the worker has restarted."""
        self._ids.clear()
