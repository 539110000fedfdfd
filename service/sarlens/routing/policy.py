"""Routing policies: each ranks workers of equal weight, best first. Pure functions without clock and I/O."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from hashlib import blake2b
from typing import Literal, NamedTuple

Policy = Literal["affinity", "least_load", "round_robin", "power_of_two"]

_HASH_RANGE = float(2**64)


class Candidate(NamedTuple):
    """A worker as a policy sees it for one request."""

    name: str
    """Base URL of the worker."""
    load: float = 0.0
    """Work in flight, in requests."""
    cost: float = 1.0
    """Work that this request would add, in requests."""
    weight: float = 1.0
    """Share of the traffic, relative to the other workers."""
    has_image: bool = False
    """Whether the worker's cache holds every image of the request."""
    breaker_open: bool = False
    """Whether the worker's circuit breaker is open."""


def affinity(workers: Sequence[Candidate], scores: Sequence[float], load_bound: float) -> list[int]:
    """Rank workers that hold the image first, then by rendezvous score, within a bound on the load.

    This is consistent hashing with bounded loads (Mirrokni, Thorup and Zadimoghaddam, 2018) on rendezvous scores, with
    a price: a request leaves the workers that hold its image only if waiting there costs more than the image costs at
    another worker. There the image delays the request and every request that the worker already has. Workers above
    ``load_bound`` times the mean load, and those that cost more than waiting, come after all others.
    """
    load = sum(worker.load for worker in workers)
    delays = [worker.load + worker.cost + (worker.cost - 1) * worker.load for worker in workers]
    wait = min((delay for worker, delay in zip(workers, delays, strict=True) if worker.has_image), default=math.inf)

    def sort_key(i: int) -> tuple[bool, float, bool, float]:
        worker = workers[i]
        over = (worker.load + worker.cost) * len(workers) > load_bound * (load + worker.cost)
        last = over or (not worker.has_image and delays[i] >= wait)
        return last, delays[i] if last else 0.0, not worker.has_image, -scores[i]

    return sorted(range(len(workers)), key=sort_key)


def rendezvous_score(worker: Candidate, image_key: str) -> float:
    """Return the rendezvous score of a worker for an image; the highest wins, in proportion to the weights.

    The score is ``-weight / ln(u)``, where ``u`` in (0, 1) is a hash of both names. A worker that joins or leaves
    moves only its own share of the images.
    """
    digest = blake2b(f"{worker.name}\n{image_key}".encode(), digest_size=8).digest()
    return -worker.weight / math.log((int.from_bytes(digest) + 0.5) / _HASH_RANGE)


def least_load(workers: Sequence[Candidate], turn: int) -> list[int]:
    """Rank workers by load; workers of equal load take turns."""
    count = len(workers)
    return sorted(range(count), key=lambda i: (workers[i].load, (i - turn) % count))


def round_robin(count: int, turn: int) -> list[int]:
    """Rank workers in rotation."""
    return [(turn + i) % count for i in range(count)]


def power_of_two(workers: Sequence[Candidate], turn: int, rng: random.Random) -> list[int]:
    """Rank the less loaded of two workers first, then the other, then the rest in random order.

    The first of the two is taken in turn and the other at random, so that equally loaded workers get equal shares.
    """
    first = turn % len(workers)
    order = [first, *(i for i in rng.sample(range(len(workers)), len(workers)) if i != first)]
    order[:2] = sorted(order[:2], key=lambda i: workers[i].load)
    return order
