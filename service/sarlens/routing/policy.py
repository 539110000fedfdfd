"""Routing policies: each ranks workers of equal weight, best first. Pure functions without clock and I/O.

A policy finds the first worker of many without sorting them, and sorts the others when the caller gets to them.
"""

from __future__ import annotations

import math
import random
from collections.abc import Collection, Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sarlens.routing.candidates import VECTORS_FROM, Floats, Scores

Policy = Literal["affinity", "least_load", "round_robin", "power_of_two"]

_SCORE_BITS = 52
"""Bits of a hash that become a float in (0, 1), so that it is never rounded to 1."""


def weighted_score(score: int, weight: float) -> float:
    """Return the weighted rendezvous score of a worker; the highest of a fleet wins, in proportion to the weights.

    The score is ``-weight / ln(u)``, where ``u`` in (0, 1) is the hash ``score`` of 64 bits. A worker that joins or
    leaves moves only its own share of the images. Workers of equal weight have the order of their hashes.
    """
    return -weight / math.log(((score >> (64 - _SCORE_BITS)) + 0.5) / (1 << _SCORE_BITS))


def affinity(
    loads: Floats, costs: Floats, scores: Scores, holders: Collection[int], load_bound: float
) -> Iterator[int]:
    """Rank workers that hold the image first, then by rendezvous score, within a bound on the load.

    This is consistent hashing with bounded loads (Mirrokni, Thorup and Zadimoghaddam, 2018) on rendezvous scores, with
    a price: a request leaves the workers that hold its image only if waiting there costs more than the image costs at
    another worker. There the image delays the request and every request that the worker already has. Workers above
    ``load_bound`` times the mean load, and those that cost more than waiting, come after all others.

    Args:
        loads: work in flight, in requests.
        costs: work that the request would add, in requests.
        scores: hash of the worker and the image, of 64 bits.
        holders: indexes of the workers that hold every image of the request.
        load_bound: largest load, relative to the mean.
    """
    total = float(np.add.reduce(loads))
    if len(loads) < VECTORS_FROM:
        return _affinity_of_few(loads.tolist(), costs.tolist(), scores.tolist(), total, holders, load_bound)
    return _affinity_of_many(loads, costs, scores, total, holders, load_bound)


def _affinity_of_few(
    loads: list[float], costs: list[float], scores: list[int], total: float, holders: Collection[int], load_bound: float
) -> Iterator[int]:
    count = len(loads)
    delays = [load + cost + (cost - 1) * load for load, cost in zip(loads, costs, strict=True)]
    wait = min([delays[i] for i in holders], default=math.inf)

    def sort_key(i: int) -> tuple[bool, float, bool, int]:
        over, holds = (loads[i] + costs[i]) * count > load_bound * (total + costs[i]), i in holders
        last = over or (not holds and delays[i] >= wait)
        return last, delays[i] if last else 0.0, not holds, -scores[i]

    return iter(sorted(range(count), key=sort_key))


def _affinity_of_many(
    loads: Floats, costs: Floats, scores: Scores, total: float, holders: Collection[int], load_bound: float
) -> Iterator[int]:
    def is_within(i: int) -> bool:
        load, cost = float(loads[i]), float(costs[i])
        return (load + cost) * len(loads) <= load_bound * (total + cost)

    preferred = sorted(holders, key=lambda i: (-int(scores[i]), i)) if holders else [int(scores.argmax())]
    first = next(filter(is_within, preferred), None)
    if first is None:
        first = _first_of_others(*_delays_and_last(loads, costs, total, holders, load_bound), scores, holders)
    yield first
    delays, last = _delays_and_last(loads, costs, total, holders, load_bound)
    misses = np.ones(len(loads), dtype=bool)
    misses[list(holders)] = False
    order: list[int] = np.lexsort((~scores, misses, np.where(last, delays, 0.0), last)).tolist()
    yield from order[1:]


def _delays_and_last(
    loads: Floats, costs: Floats, total: float, holders: Collection[int], load_bound: float
) -> tuple[Floats, NDArray[np.bool_]]:
    """Return what the request costs at each worker, and whether the worker comes after all others."""
    later = loads + costs
    delays = later + (costs - 1) * loads
    last = later * len(loads) > (costs + total) * load_bound
    if holders:
        over = [last[i] for i in holders]
        last |= delays >= min([delays[i] for i in holders])
        for i, holder_is_over in zip(holders, over, strict=True):
            last[i] = holder_is_over
    return delays, last


def _first_of_others(delays: Floats, last: NDArray[np.bool_], scores: Scores, holders: Collection[int]) -> int:
    """Return the first worker if no worker that holds the image is within the load bound."""
    if last[last.argmin()]:
        shortest = delays[delays.argmin()]
        if held := [i for i in holders if delays[i] == shortest]:
            return min(held, key=lambda i: (-int(scores[i]), i))
        (others,) = (delays == shortest).nonzero()
    else:
        (others,) = (~last).nonzero()
    return int(others[scores[others].argmax()])


def least_load(loads: Floats, turn: int) -> Iterator[int]:
    """Rank workers by load; workers of equal load take turns."""
    count = len(loads)
    if count < VECTORS_FROM:
        values: list[float] = loads.tolist()
        return iter(sorted(range(count), key=lambda i: (values[i], (i - turn) % count)))
    return _least_load_of_many(loads, turn % count)


def _least_load_of_many(loads: Floats, turn: int) -> Iterator[int]:
    (idle,) = (loads == loads[loads.argmin()]).nonzero()
    first = int(idle[idle.searchsorted(turn) % len(idle)])
    yield first
    order = np.lexsort(((np.arange(len(loads)) - turn) % len(loads), loads))
    yield from order[1:].tolist()


def round_robin(count: int, turn: int) -> Iterator[int]:
    """Rank workers in rotation."""
    return ((turn + i) % count for i in range(count))


def power_of_two(loads: Floats, turn: int, rng: random.Random) -> Iterator[int]:
    """Rank the less loaded of two workers first, then the other, then the rest in random order.

    The first of the two is taken in turn and the other at random, so that equally loaded workers get equal shares.
    """
    count = len(loads)
    first = turn % count
    if count == 1:
        yield first
        return
    other = (first + 1 + rng.randrange(count - 1)) % count
    if loads[other] < loads[first]:
        first, other = other, first
    yield first
    yield other
    yield from (i for i in rng.sample(range(count), count) if i not in {first, other})
