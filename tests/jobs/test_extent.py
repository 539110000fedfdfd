"""Union of bounds on the circle of longitudes."""

from __future__ import annotations

import pytest

from sarlens.jobs.extent import Bounds, union


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ((1, 2, 3, 4), (2, 1, 5, 3), (1, 1, 5, 4)),
        ((179, 0, 181, 1), (-179, 0, -178, 1), (179, 0, 182, 1)),
        ((-179, 0, -178, 1), (179, 0, 180, 1), (179, 0, 182, 1)),
        ((170, 0, 175, 1), (-175, 0, -170, 1), (170, 0, 190, 1)),
        ((-90, 0, -80, 1), (80, 0, 100, 1), (-90, 0, 100, 1)),
        ((-180, -90, 180, 90), (10, 0, 11, 1), (-180, -90, 180, 90)),
        ((-170, 0, 80, 1), (70, 0, 200, 1), (-180, 0, 180, 1)),
    ],
)
def test_the_union_is_the_smallest(first: Bounds, second: Bounds, expected: Bounds) -> None:
    """The union is the shorter way around the globe, in either order; its west is from -180 to 180."""
    assert union(first, second) == expected
    assert union(second, first) == expected


def test_nothing_has_no_bounds() -> None:
    """None leaves the other bounds as they are."""
    assert union(None, (1, 2, 3, 4)) == union((1, 2, 3, 4), None) == (1, 2, 3, 4)
    assert union(None, None) is None
