"""Merging of candidates by distance on the ground, and totals with an interval."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Geod

from sarlens.surveys.objects.candidates import Candidate
from sarlens.surveys.objects.merging import Placed, merge_candidates
from sarlens.surveys.objects.totals import ObjectTotal, located_beyond

GEOD = Geod(ellps="sphere", a=6_371_008.8, b=6_371_008.8)
FIELDS: dict[str, Any] = {
    "width": 6.0,
    "height": 6.0,
    "object_class": "ship",
    "contrast_db": 20.0,
    "is_box": False,
    "is_cut": False,
}


def placed(
    col: float, row: float, *, score: float | None = 0.9, lon: float = 3.0, lat: float = 52.0, **fields: Any
) -> Placed:
    """Return a candidate at a pixel of 10 m, east and south of a point on a sphere."""
    lon, lat, _ = GEOD.fwd(lon, lat, 90, 10 * col)
    lon, lat, _ = GEOD.fwd(lon, lat, 180, 10 * row)
    known = FIELDS | {"source": "both", "tile": 0, "image_id": "x"} | fields
    return Placed(Candidate(col=col, row=row, score=score, **known), lon, lat, 10.0)


def kept(*candidates: Placed) -> list[tuple[float, float]]:
    """Return the positions of the merged candidates."""
    return [(found.candidate.col, found.candidate.row) for found in merge_candidates(candidates)]


@pytest.mark.parametrize("lat", [-70.0, 0.0, 52.0, 84.0])
def test_one_target_in_two_tiles_is_one_object(lat: float) -> None:
    """At any latitude, targets within 3 pixels are one object, that of the higher score, and others are two."""
    first, second = placed(100, 50, score=0.7, lat=lat), placed(102, 51, score=0.8, tile=1, lat=lat)
    assert kept(first, second) == kept(second, first) == [(102, 51)]
    assert kept(first, placed(104, 53, lat=lat)) == [(100, 50), (104, 53)]


def test_the_antimeridian_separates_nothing() -> None:
    """Two measurements of one target on both sides of 180 degrees are one object."""
    assert kept(placed(0, 0, lon=179.99999), placed(2, 0, score=0.5, lon=179.99999)) == [(0, 0)]


def test_ships_side_by_side_stay_apart() -> None:
    """Diagonal ships of 24 x 24 pixels, 10 pixels apart, are two objects though their boxes overlap by half."""
    assert len(kept(placed(100, 100, width=24, height=24), placed(107, 93, width=24, height=24))) == 2


def test_boxes_of_the_model_merge_by_overlap() -> None:
    """A box that a tile's edge cuts is part of the whole box in the neighboring tile; a box next to it isn't."""
    whole = placed(100, 100, width=30, height=8, is_box=True, source="model")
    part = placed(91, 100, width=12, height=8, is_box=True, source="model", score=0.6, tile=1)
    beside = placed(100, 112, width=30, height=8, is_box=True, source="model", score=0.6)
    assert kept(whole, part, beside) == [(100, 100), (100, 112)]


def test_a_confirmed_candidate_wins() -> None:
    """A tile that confirms a target wins over one that doesn't."""
    (found,) = merge_candidates([placed(1, 1, source="cfar", score=0.3), placed(1, 1, score=0.4)])
    assert (found.candidate.source, found.candidate.score) == ("both", 0.4)


def test_the_whole_object_wins_over_its_part() -> None:
    """A long target that a neighboring tile cuts is one object, with its own center and the higher of both scores."""
    whole = placed(100, 100, width=85, height=30, score=0.2)
    part = placed(88, 100, width=60, height=30, score=0.8, is_cut=True, tile=1)
    (found,) = merge_candidates([part, whole])
    assert (found.candidate.col, found.candidate.score) == (100, 0.8)


def test_classes_are_merged_apart() -> None:
    """A ship and a tank at one place are two objects."""
    assert len(kept(placed(1, 1), placed(1, 1, object_class="tank"))) == 2


@given(st.integers(0, 60), st.integers(0, 1000))
@settings(deadline=None, max_examples=50)
def test_merging_equals_all_comparisons(count: int, seed: int) -> None:
    """The grid keeps the candidates that a comparison of all pairs keeps."""
    rng = np.random.default_rng(seed)
    places, scores = rng.uniform(0, 40, (count, 2)), rng.permutation(count) / max(count, 1)
    candidates = [placed(*place, score=float(score)) for place, score in zip(places, scores, strict=True)]
    best: list[int] = []
    for index in np.argsort(-scores):
        if all(np.hypot(*(places[index] - places[other])) > 3.0 for other in best):
            best.append(int(index))
    assert kept(*candidates) == [(places[index][0], places[index][1]) for index in sorted(best)]


def test_the_interval_is_that_of_a_poisson_binomial_distribution() -> None:
    """For 60 objects of probability 0.9 and 2 unlocated ones: 54 - 1.96 √5.4 = 49.4, so 49 to 62."""
    total = ObjectTotal(unlocated=2)
    for _ in range(60):
        total.add(0.9)
    assert total.as_dict() == {"objects": 60, "expected": 54.0, "interval": [49, 62], "unlocated": 2, "unconfirmed": 0}
    samples = np.random.default_rng(0).binomial(60, 0.9, 100_000)
    assert (samples < 49).mean() < 0.025


@pytest.mark.parametrize(("score", "interval"), [(1.0, (3, 3)), (None, (0, 3)), (0.0, (0, 3))])
def test_certain_objects_have_no_interval(score: float | None, interval: tuple[int, int]) -> None:
    """Three objects of probability 1 are three; without a probability, each counts as one half."""
    total = ObjectTotal()
    for _ in range(3):
        total.add(score)
    assert total.interval == interval


@pytest.mark.parametrize(
    ("value", "located", "unlocated"),
    [(5, 3, 2), (3, 5, 0), (True, 0, 1), (True, 4, 0), (False, 0, 0), (None, 0, 0), ("top left", 0, 1), (4, None, 0)],
)
def test_objects_without_a_place_are_counted(value: Any, located: int | None, unlocated: int) -> None:
    """A count exceeds the located objects by the unlocated ones; yes and a position state one object."""
    assert located_beyond(value, located) == unlocated
