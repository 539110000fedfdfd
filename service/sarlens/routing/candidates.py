"""The workers that may get a request, as columns of numbers: an operation on a column is one call for all workers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indexes = NDArray[np.intp]
Scores = NDArray[np.uint64]

VECTORS_FROM = 16
"""Number of workers from which NumPy takes less time than a loop over Python numbers."""

_MASK = (1 << 64) - 1
_MULTIPLIERS = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_SHIFTS = 30, 27, 31


def hash64(text: str) -> int:
    """Return 64 bits of the BLAKE2b hash of a text."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest())


class Fleet:
    """The workers of one model: hashes of their names, and their groups of equal weight. It doesn't change."""

    def __init__(self, names: Sequence[str], weights: Sequence[float] | None = None) -> None:
        """``names`` are base URLs of workers, and ``weights`` their shares of the traffic; all are 1 by default."""
        self._hashes = np.array([hash64(name) for name in names], dtype=np.uint64)
        constants = (*_MULTIPLIERS, *_SHIFTS)
        self._constants = [np.full(len(names), constant, dtype=np.uint64) for constant in constants]
        """Columns, because an operation on two columns takes less time than one on a column and a number."""
        members: dict[float, list[int]] = {}
        for index, weight in enumerate(weights if weights is not None else [1.0] * len(names)):
            members.setdefault(weight, []).append(index)
        self.groups: Mapping[float, Indexes] = {
            weight: np.array(group, dtype=np.intp) for weight, group in members.items()
        }
        """Indexes of the workers of each weight, ascending."""

    def __len__(self) -> int:
        return len(self._hashes)

    def scores(self, image_key: str) -> Scores:
        """Return a uniform integer of 64 bits for each worker: the hash of its name and of the image key.

        The mixing function is the finalizer of SplitMix64 (Steele, Lea and Flood, 2014).
        """
        key = hash64(image_key)
        if len(self) < VECTORS_FROM:
            return np.array([_mix(name ^ key) for name in self._hashes.tolist()], dtype=np.uint64)
        mixed = self._hashes ^ np.uint64(key)
        one_factor, other_factor, first_shift, second_shift, third_shift = self._constants
        mixed ^= mixed >> first_shift
        mixed *= one_factor
        mixed ^= mixed >> second_shift
        mixed *= other_factor
        mixed ^= mixed >> third_shift
        return mixed


def _mix(value: int) -> int:
    value = ((value ^ (value >> _SHIFTS[0])) * _MULTIPLIERS[0]) & _MASK
    value = ((value ^ (value >> _SHIFTS[1])) * _MULTIPLIERS[1]) & _MASK
    return value ^ (value >> _SHIFTS[2])


class Candidates(NamedTuple):
    """The workers of a fleet as a policy sees them for one request. All columns have the shape (worker,)."""

    fleet: Fleet
    loads: Floats
    """Work in flight, in requests."""
    costs: Floats | None = None
    """Work that the request would add, in requests; None if it has no image, so that it is the same everywhere."""
    holders: Collection[int] = ()
    """Indexes of the workers whose cache holds every image of the request."""
    failing: Collection[int] = ()
    """Indexes of the workers whose circuit breaker is open."""
