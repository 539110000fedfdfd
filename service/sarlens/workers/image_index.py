"""The index of images in the caches of all workers: which workers hold an image, or are receiving it."""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterable
from itertools import count

SLOT_BITS = 24
"""Bits of a worker's slot, so that a worker has at most 16,777,216 images."""
_SLOT_MASK = (1 << SLOT_BITS) - 1
KEY_MASK = (1 << 60) - 1
"""Python stores an integer of 60 bits in 32 bytes, and a longer one in 48."""
_STALE_ENTRIES_PER_IMAGE = 4


def image_key(image_id: str) -> int:
    """Return the key of an image: 60 bits of the hash that Python seeds for each process.

    Among a million images, another one has the same key with a probability of 1e-12. The gateway then sends an id that
    the worker doesn't hold, and sends the data after the worker's cache miss.
    """
    return hash(image_id) & KEY_MASK


class ImageIndex:
    """Maps an image to the workers that hold it. An image that one worker holds takes 2 integers and a dict entry.

    The cache of a worker has a number, which changes when the worker restarts, and a slot for each of its images. An
    entry is one integer, ``number << SLOT_BITS | slot``, or a tuple of them if several workers hold the image.
    """

    def __init__(self) -> None:
        self.entries: dict[int, int | tuple[int, ...]] = {}
        """Entry of each image, by ``image_key``."""
        self._expected: dict[str, dict[int, int]] = {}
        """Number of requests in flight that carry an image to a worker, by image id and worker."""
        self._numbers = count()
        self._workers: dict[int, int] = {}
        """The worker of each cache, by their numbers."""
        self._stale: deque[tuple[int, array[int]]] = deque()
        """Caches that were cleared, and keys that may still have entries with their numbers."""

    def add_worker(self) -> int:
        """Return the number of a new worker."""
        return next(self._numbers)

    def add_cache(self, worker: int) -> int:
        """Return the number of a new, empty cache of a worker."""
        number = next(self._numbers)
        self._workers[number] = worker
        return number

    def clear_cache(self, number: int, keys: array[int]) -> None:
        """Drop a cache at once. Its entries are removed a few at a time, whenever a worker receives an image."""
        del self._workers[number]
        if keys:
            self._stale.append((number, keys))

    def slot(self, key: int, number: int) -> int:
        """Return the slot of an image in a cache, or -1 if the cache doesn't hold it."""
        entry = self.entries.get(key, -1)
        if isinstance(entry, int):
            return entry & _SLOT_MASK if entry >> SLOT_BITS == number else -1
        return next((one & _SLOT_MASK for one in entry if one >> SLOT_BITS == number), -1)

    def put(self, key: int, number: int, slot: int) -> None:
        """Record that a cache, which didn't hold an image, holds it in a slot."""
        self._remove_stale()
        entry, added = self.entries.get(key), number << SLOT_BITS | slot
        if entry is None:
            self.entries[key] = added
        else:
            self.entries[key] = (*entry, added) if isinstance(entry, tuple) else (entry, added)

    def remove(self, key: int, number: int) -> None:
        """Remove the entry of a cache for an image, if it has one."""
        entry = self.entries.get(key, -1)
        if not isinstance(entry, tuple):
            if entry >> SLOT_BITS == number:
                del self.entries[key]
            return
        left = tuple([one for one in entry if one >> SLOT_BITS != number])
        self.entries[key] = left if len(left) > 1 else left[0]

    def _remove_stale(self) -> None:
        for _ in range(_STALE_ENTRIES_PER_IMAGE if self._stale else 0):
            number, keys = self._stale[0]
            self.remove(keys.pop(), number)
            if not keys:
                self._stale.popleft()
                return

    def expect(self, image_ids: Iterable[str], worker: int) -> None:
        """Record that a request in flight carries images to a worker."""
        for image_id in image_ids:
            requests = self._expected.setdefault(image_id, {})
            requests[worker] = requests.get(worker, 0) + 1

    def settle(self, image_ids: Iterable[str], worker: int) -> None:
        """Record the end of what ``expect`` recorded."""
        for image_id in image_ids:
            requests = self._expected[image_id]
            requests[worker] -= 1
            if not requests[worker]:
                del requests[worker]
                if not requests:
                    del self._expected[image_id]

    def expects(self, image_id: str, worker: int) -> bool:
        """Return whether a worker is receiving an image."""
        requests = self._expected.get(image_id)
        return requests is not None and worker in requests

    def holders(self, image_id: str) -> set[int]:
        """Return the numbers of the workers that hold an image."""
        entry = self.entries.get(image_key(image_id))
        if entry is None:
            return set()
        caches = [one >> SLOT_BITS for one in (entry if isinstance(entry, tuple) else (entry,))]
        return {self._workers[cache] for cache in caches if cache in self._workers}

    def holders_or_receivers(self, image_id: str) -> set[int]:
        """Return the numbers of the workers that hold an image or are receiving it."""
        found = self.holders(image_id)
        found.update(self._expected.get(image_id, ()))
        return found
