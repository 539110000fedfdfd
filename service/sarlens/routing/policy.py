"""Orderings of workers: the first is asked first, the next where that one fails. Pure: no clock, no I/O."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from hashlib import blake2b
from itertools import count
from typing import Literal, NamedTuple

Policy = Literal["affinity", "least_load", "round_robin", "power_of_two"]

_MOST = float(2**64)


class Candidate(NamedTuple):
    """A worker as an ordering sees it; one is made for every worker and request.

    ``load`` is the work that it has in flight and ``cost`` what this request would add, both in requests; ``share``
    is its part of the traffic relative to the others'. ``holds`` says that it has every picture of the request,
    ``tripped`` that its breaker is open.
    """

    name: str
    load: float = 0.0
    cost: float = 1.0
    share: float = 1.0
    holds: bool = False
    tripped: bool = False


class Router:
    """Ranks workers by one policy; a request without pictures goes by load where the policy is affinity."""

    def __init__(self, policy: Policy, *, bound: float, seed: int | None = None) -> None:
        self._policy = policy
        self._bound = bound
        self._turns = count()
        self._random = random.Random(seed)  # noqa: S311  nothing secret hangs on it

    def rank(self, workers: Sequence[Candidate], picture: str | None) -> list[int]:
        """Indices of all workers, best first; those whose breaker is open come last.

        Args:
            workers: at least one.
            picture: the id that affinity goes by, or None.
        """
        if len(workers) == 1:
            return [0]
        if self._policy == "affinity" and picture is not None:
            order = affinity(workers, picture, self._bound)
        elif self._policy == "round_robin":
            order = rotation(len(workers), next(self._turns))
        elif self._policy == "power_of_two":
            order = power_of_two(workers, self._random)
        else:
            order = least_load(workers, next(self._turns))
        return sorted(order, key=lambda i: workers[i].tripped)


def affinity(workers: Sequence[Candidate], picture: str, bound: float) -> list[int]:
    """Workers that hold the picture, then by rendezvous, while none carries over ``bound`` times the mean load.

    Consistent hashing with bounded loads (Mirrokni, Thorup and Zadimoghaddam, 2018) on weighted rendezvous scores;
    workers over the bound come after all others, the least loaded first.
    """
    alive = [worker for worker in workers if not worker.tripped] or workers
    load, shares = sum(worker.load for worker in alive), sum(worker.share for worker in alive)

    def place(i: int) -> tuple[bool, float, bool, float]:
        worker = workers[i]
        over = (worker.load + worker.cost) * shares > bound * (load + worker.cost) * worker.share
        return over, worker.load / worker.share if over else 0.0, not worker.holds, -rendezvous(worker, picture)

    return sorted(range(len(workers)), key=place)


def rendezvous(worker: Candidate, picture: str) -> float:
    """The score of a worker for a picture: the highest wins, in proportion to the workers' shares.

    It is ``-share / ln(u)`` with ``u`` uniform in (0, 1) from a hash of both names, so that a worker who comes or
    goes moves only its own part of the pictures.
    """
    digest = blake2b(f"{worker.name}\n{picture}".encode(), digest_size=8).digest()
    return -worker.share / math.log((int.from_bytes(digest) + 0.5) / _MOST)


def least_load(workers: Sequence[Candidate], turn: int) -> list[int]:
    """The least loaded first, relative to its share; equals take turns."""
    number = len(workers)
    return sorted(range(number), key=lambda i: (workers[i].load / workers[i].share, (i - turn) % number))


def rotation(number: int, turn: int) -> list[int]:
    """Each in its turn."""
    return [(turn + i) % number for i in range(number)]


def power_of_two(workers: Sequence[Candidate], choose: random.Random) -> list[int]:
    """The less loaded of two chosen by lot, then the other one, then the rest by lot."""
    order = choose.sample(range(len(workers)), len(workers))
    order[:2] = sorted(order[:2], key=lambda i: workers[i].load / workers[i].share)
    return order
