"""The router: splits the traffic by weight, and ranks the workers of equal weight by the policy."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain

import numpy as np

from sarlens.routing.candidates import Candidates, Indexes, Scores
from sarlens.routing.policy import Policy, affinity, least_load, power_of_two, round_robin, weighted_score
from sarlens.routing.traffic_split import TrafficSplit

_MAX_SPLITS = 4096


class Router:
    """Ranks workers by one policy. The affinity policy ranks requests without images by load.

    Workers of equal weight form a group. The traffic of each model is split between the groups in proportion to their
    total weights, for requests with and without images separately. The policy ranks the workers of a group.
    """

    def __init__(self, policy: Policy, *, load_bound: float, seed: int | None = None) -> None:
        self._policy = policy
        self._load_bound = load_bound
        self._random = random.Random(seed)  # noqa: S311  not used for security
        self._splits: dict[tuple[str, bool], TrafficSplit] = {}

    def rank(self, candidates: Candidates, image_key: str | None, model: str = "") -> Iterator[int]:
        """Iterate over the indexes of all workers, best first; those with an open circuit breaker come last.

        Only the first worker is found at once. The iteration ranks the others from the same columns.

        Args:
            candidates: at least one worker.
            image_key: the image id for affinity, or None.
            model: the model of the request.
        """
        fleet, failing = candidates.fleet, candidates.failing
        if len(fleet) == 1:
            return iter((0,))
        groups = _without(fleet.groups, failing) if failing else fleet.groups
        if not groups:
            return _by_load(candidates, failing)
        uses_scores = self._policy == "affinity" and image_key is not None and candidates.costs is not None
        scores = fleet.scores(image_key) if uses_scores and image_key is not None else None
        order, turn = self._order_groups(groups, scores, model, images=image_key is not None)
        ranked = [self._rank_group(candidates, groups[weight], scores, turn) for weight in order]
        return chain(*ranked, _by_load(candidates, failing)) if failing or len(ranked) > 1 else ranked[0]

    def policy_for(self, image_key: str | None) -> Policy:
        """Return the policy that ranks the workers of a request with this image key."""
        return "least_load" if self._policy == "affinity" and image_key is None else self._policy

    def _order_groups(
        self, groups: Mapping[float, Indexes], scores: Scores | None, model: str, *, images: bool
    ) -> tuple[Sequence[float], int]:
        """Return the group whose turn it is, then the others by their share of the traffic; and its turn."""
        split = self._split(model, images=images)
        if len(groups) == 1:
            (weight,) = groups
            return (weight,), split.choose({weight: 1.0})[1]
        preferred: float | None = None
        if scores is not None:
            best = {weight: weighted_score(int(scores[group].max()), weight) for weight, group in groups.items()}
            preferred = max(best, key=best.__getitem__)
        shares = {weight: weight * len(group) for weight, group in groups.items()}
        chosen, turn = split.choose(shares, preferred)
        return sorted(groups, key=lambda weight: (weight != chosen, -shares[weight])), turn

    def _rank_group(self, candidates: Candidates, group: Indexes, scores: Scores | None, turn: int) -> Iterator[int]:
        """Rank workers of equal weight; ``scores`` are rendezvous scores if affinity applies."""
        if len(group) == len(candidates.fleet):
            return self._rank(candidates, scores, turn)
        members: list[int] = group.tolist()
        holders = [i for i, member in enumerate(members) if member in candidates.holders] if scores is not None else ()
        costs = candidates.costs[group] if candidates.costs is not None else None
        part = Candidates(candidates.fleet, candidates.loads[group], costs, holders)
        return (members[i] for i in self._rank(part, scores[group] if scores is not None else None, turn))

    def _rank(self, part: Candidates, scores: Scores | None, turn: int) -> Iterator[int]:
        if scores is not None and part.costs is not None:
            return affinity(part.loads, part.costs, scores, part.holders, self._load_bound)
        if self._policy == "round_robin":
            return round_robin(len(part.loads), turn)
        if self._policy == "power_of_two":
            return power_of_two(part.loads, turn, self._random)
        return least_load(part.loads, turn)

    def _split(self, model: str, *, images: bool) -> TrafficSplit:
        """Return the traffic split of a model; models come and go, so their number is limited."""
        split = self._splits.get((model, images))
        if split is None:
            if len(self._splits) >= _MAX_SPLITS:
                self._splits.pop(next(iter(self._splits)))
            split = self._splits[model, images] = TrafficSplit(self._random)
        return split


def _without(groups: Mapping[float, Indexes], failing: Collection[int]) -> dict[float, Indexes]:
    """Return the groups without workers whose circuit breaker is open, and without empty groups."""
    left = {weight: group[~np.isin(group, list(failing))] for weight, group in groups.items()}
    return {weight: group for weight, group in left.items() if len(group)}


def _by_load(candidates: Candidates, indexes: Collection[int]) -> Iterator[int]:
    return iter(sorted(indexes, key=lambda i: float(candidates.loads[i])))
