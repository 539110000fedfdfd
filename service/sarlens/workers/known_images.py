"""The images in one worker's cache."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping

from sarlens.workers.image_index import KEY_MASK, SLOT_BITS, ImageIndex, image_key

_MAX_SIZE = (1 << 32) - 1
_MAX_CLOCK_STEPS = 64
"""Largest number of used images that an eviction passes by, which bounds its time."""


class KnownImages:
    """Sizes of at most ``max_images`` images that a worker has received, in slots; an index finds the slot of an image.

    The image that makes way for another one is chosen by the clock algorithm, which approximates the least recently
    used one: a hand moves over the slots, and passes by an image once for its uses since the last time.

    The index can be wrong: a worker drops images when it restarts or needs memory. It then reports a cache miss.
    """

    def __init__(self, max_images: int, index: ImageIndex) -> None:
        self.worker = index.add_worker()
        """Number of the worker in the index."""
        self._number = index.add_cache(self.worker)
        self._max_images = max_images
        self._index = index
        self._entries = index.entries
        self._keys, self._sizes, self._used = array("Q"), array("I"), bytearray()
        self._free: list[int] = []
        self._hand = 0

    def __len__(self) -> int:
        return len(self._keys) - len(self._free)

    def __contains__(self, image_id: str) -> bool:
        return self.has_all((image_id,))

    def has_all(self, image_ids: Iterable[str]) -> bool:
        """Return whether the worker holds all of these images."""
        for image_id in image_ids:
            entry = self._entries.get(hash(image_id) & KEY_MASK)  # image_key(), without a call
            if entry is None:
                return False
            if isinstance(entry, int):
                if entry >> SLOT_BITS != self._number:
                    return False
            elif not any(one >> SLOT_BITS == self._number for one in entry):
                return False
        return True

    def has_or_expects(self, image_id: str) -> bool:
        """Return whether the worker holds an image or is receiving it."""
        return image_id in self or self._index.expects(image_id, self.worker)

    def expect(self, image_ids: Iterable[str]) -> None:
        """Record that a request in flight carries images to the worker, until ``settle``."""
        self._index.expect(image_ids, self.worker)

    def settle(self, image_ids: Iterable[str]) -> None:
        """Record that the worker has the images that it expected, or that the request has failed."""
        self._index.settle(image_ids, self.worker)

    def total_bytes(self, image_ids: Iterable[str]) -> int:
        """Return the total size of these images in bytes; unknown images count 0."""
        slots = [self._index.slot(image_key(image_id), self._number) for image_id in image_ids]
        return sum([self._sizes[slot] for slot in slots if slot >= 0])

    def add(self, image_ids: Iterable[str], sizes: Mapping[str, int]) -> None:
        """Add images that the worker has just received or used; ``sizes`` holds the bytes of those that were sent."""
        for image_id in image_ids:
            key = image_key(image_id)
            slot = self._index.slot(key, self._number)
            if slot >= 0:
                self._used[slot] = 1
            elif self._max_images:
                slot = self._take_slot()
                self._keys[slot], self._sizes[slot] = key, 0
                self._index.put(key, self._number, slot)
            if slot >= 0 and image_id in sizes:
                self._sizes[slot] = min(sizes[image_id], _MAX_SIZE)

    def discard(self, image_ids: Iterable[str]) -> None:
        """Remove images that the worker doesn't hold."""
        for image_id in image_ids:
            key = image_key(image_id)
            slot = self._index.slot(key, self._number)
            if slot >= 0:
                self._index.remove(key, self._number)
                self._used[slot] = 0
                self._free.append(slot)

    def clear(self) -> None:
        """Remove all images: the worker has restarted. The index removes their entries later, a few at a time."""
        self._index.clear_cache(self._number, self._keys)
        self._number = self._index.add_cache(self.worker)
        self._keys, self._sizes, self._used = array("Q"), array("I"), bytearray()
        self._free = []
        self._hand = 0

    def close(self) -> None:
        """Remove all images for good: the worker is gone. Requests in flight there add none."""
        self.clear()
        self._max_images = 0

    def _take_slot(self) -> int:
        """Return a slot without an image; if all have one, evict it."""
        if self._free:
            return self._free.pop()
        if len(self._keys) < self._max_images:
            self._keys.append(0)
            self._sizes.append(0)
            self._used.append(0)
            return len(self._keys) - 1
        for _ in range(_MAX_CLOCK_STEPS):
            if not self._used[self._hand]:
                break
            self._used[self._hand] = 0
            self._hand = (self._hand + 1) % len(self._keys)
        slot, self._hand = self._hand, (self._hand + 1) % len(self._keys)
        self._used[slot] = 0
        self._index.remove(self._keys[slot], self._number)
        return slot
