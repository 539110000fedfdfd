"""The traffic split: requests are divided between groups of workers in proportion to the weights of the groups."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Mapping

_MAX_WARM_UP = 1000
_MAX_DEVIATION = 2.0
"""Requests by which a group may differ from its share, so that requests about one image stay in one group."""


class TrafficSplit:
    """Smooth weighted round robin, as in nginx: each request adds its share to every group and costs the chosen one 1.

    The number of requests of a group therefore differs from its share by a constant, at any load and in any order.
    A group that is away neither earns nor owes requests. The first request falls on a random point of the cycle, so
    that many gateways that just started keep the shares together.
    """

    def __init__(self, rng: random.Random) -> None:
        self._random = rng
        self._credits: dict[float, float] = {}
        self._turns: Counter[float] = Counter()

    def choose(self, shares: Mapping[float, float], preferred: float | None = None) -> tuple[float, int]:
        """Return the group of the next request, and the number of earlier requests of this group.

        Args:
            shares: share of each group, in any unit.
            preferred: the group to choose as long as the shares hold within ``_MAX_DEVIATION`` requests.
        """
        group = next(iter(shares)) if len(shares) == 1 else self._spend(shares, preferred)
        turn = self._turns[group]
        self._turns[group] = turn + 1
        return group, turn

    def _spend(self, shares: Mapping[float, float], preferred: float | None) -> float:
        if not self._credits:
            cycle = math.ceil(sum(shares.values()) / min(shares.values()))
            for _ in range(self._random.randrange(min(cycle, _MAX_WARM_UP))):
                self._step(shares, None)
        return self._step(shares, preferred)

    def _step(self, shares: Mapping[float, float], preferred: float | None) -> float:
        credit, total = self._credits, sum(shares.values())
        for group, share in shares.items():
            credit[group] = credit.get(group, 0.0) + share / total
        chosen = max(shares, key=credit.__getitem__)
        if preferred is not None and credit[chosen] < _MAX_DEVIATION and credit[preferred] > 1 - _MAX_DEVIATION:
            chosen = preferred
        credit[chosen] -= 1
        return chosen
