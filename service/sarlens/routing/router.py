"""The router: splits the traffic by weight, and ranks the workers of equal weight by the policy."""

from __future__ import annotations

import random
from collections.abc import Sequence

from sarlens.routing.policy import (
    Candidate,
    Policy,
    affinity,
    least_load,
    power_of_two,
    rendezvous_score,
    round_robin,
)
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

    def rank(self, workers: Sequence[Candidate], image_key: str | None, model: str = "") -> list[int]:
        """Return the indexes of all workers, best first; workers with an open circuit breaker come last.

        Args:
            workers: at least one worker.
            image_key: the image id for affinity, or None.
            model: the model of the request.
        """
        if len(workers) == 1:
            return [0]
        groups: dict[float, list[int]] = {}
        failing: list[int] = []
        for i, worker in enumerate(workers):
            if worker.breaker_open:
                failing.append(i)
            elif (group := groups.get(worker.weight)) is None:
                groups[worker.weight] = [i]
            else:
                group.append(i)
        order = self._rank_groups(workers, groups, image_key, model) if groups else []
        return order + sorted(failing, key=lambda i: workers[i].load)

    def policy_for(self, image_key: str | None) -> Policy:
        """Return the policy that ranks the workers of a request with this image key."""
        return "least_load" if self._policy == "affinity" and image_key is None else self._policy

    def _rank_groups(
        self, workers: Sequence[Candidate], groups: dict[float, list[int]], image_key: str | None, model: str
    ) -> list[int]:
        """Rank the group whose turn it is first, then the other groups by their share of the traffic."""
        scores: dict[int, float] | None = None
        preferred: float | None = None
        if self._policy == "affinity" and image_key is not None:
            scores = {i: rendezvous_score(workers[i], image_key) for group in groups.values() for i in group}
            if len(groups) > 1:
                preferred = workers[max(scores, key=scores.__getitem__)].weight
        shares = {weight: weight * len(group) for weight, group in groups.items()}
        chosen, turn = self._split(model, images=image_key is not None).choose(shares, preferred)
        order: list[int] = []
        for weight in sorted(groups, key=lambda weight: (weight != chosen, -shares[weight])):
            group = groups[weight]
            members = workers if len(group) == len(workers) else [workers[i] for i in group]
            order += [group[i] for i in self._rank(members, [scores[i] for i in group] if scores else None, turn)]
        return order

    def _rank(self, group: Sequence[Candidate], scores: Sequence[float] | None, turn: int) -> list[int]:
        """Rank workers of equal weight; ``scores`` are rendezvous scores if affinity applies."""
        if scores is not None:
            return affinity(group, scores, self._load_bound)
        if self._policy == "round_robin":
            return round_robin(len(group), turn)
        if self._policy == "power_of_two":
            return power_of_two(group, turn, self._random)
        return least_load(group, turn)

    def _split(self, model: str, *, images: bool) -> TrafficSplit:
        """Return the traffic split of a model; models come and go, so their number is limited."""
        split = self._splits.get((model, images))
        if split is None:
            if len(self._splits) >= _MAX_SPLITS:
                self._splits.pop(next(iter(self._splits)))
            split = self._splits[model, images] = TrafficSplit(self._random)
        return split
