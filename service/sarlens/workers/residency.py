"""What a worker is believed to have in its cache."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping


class Residency:
    """Ids of the pictures that a worker was sent last, at most ``limit`` of them, and how many bytes each has.

    It is a belief: a worker forgets by itself when it restarts or runs out of room, and says so when it is asked.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._ids: OrderedDict[str, int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, picture: str) -> bool:
        return picture in self._ids

    def has(self, pictures: Iterable[str]) -> bool:
        """Whether the worker has all of these."""
        return all(picture in self._ids for picture in pictures)

    def size(self, pictures: Iterable[str]) -> int:
        """Bytes that these have together."""
        return sum(self._ids.get(picture, 0) for picture in pictures)

    def learn(self, pictures: Iterable[str], sizes: Mapping[str, int]) -> None:
        """The worker has just been shown these, of so many bytes, or has shown that it has them."""
        for picture in pictures:
            self._ids[picture] = sizes.get(picture, self._ids.get(picture, 0))
            self._ids.move_to_end(picture)
        while len(self._ids) > self._limit:
            self._ids.popitem(last=False)

    def forget(self, pictures: Iterable[str]) -> None:
        """The worker does not have these."""
        for picture in pictures:
            self._ids.pop(picture, None)

    def clear(self) -> None:
        """The worker has begun anew."""
        self._ids.clear()
