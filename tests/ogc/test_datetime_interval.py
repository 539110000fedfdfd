"""Times and intervals of OGC APIs."""

from __future__ import annotations

import pytest

from sarlens.api.ogc.datetime_interval import parse_interval
from sarlens.errors import BadRequest

NOON = 1_764_590_400.0
"""2025-12-01T12:00:00Z"""


@pytest.mark.parametrize(
    ("text", "interval"),
    [
        ("2025-12-01T12:00:00Z", (NOON, NOON)),
        ("2025-12-01T12:00:00", (NOON, NOON)),
        ("2025-12-01T14:00:00+02:00", (NOON, NOON)),
        ("2025-12-01T14:00:00 02:00", (NOON, NOON)),
        ("2025-12-01", (NOON - 43_200, NOON - 43_200)),
        ("2025-12-01T12:00:00Z/..", (NOON, None)),
        ("/2025-12-01T12:00:00Z", (None, NOON)),
        ("2025-12-01/2025-12-01T12:00:00Z", (NOON - 43_200, NOON)),
    ],
)
def test_intervals_are_parsed(text: str, interval: tuple[float | None, float | None]) -> None:
    """A time is an interval of no length; an open end is None; a time without an offset is UTC."""
    assert parse_interval(text) == interval


@pytest.mark.parametrize("text", ["", "..", "../..", "/", "yesterday", "2025-12-02/2025-12-01", "2025-13-01"])
def test_other_texts_are_rejected(text: str) -> None:
    """A text without a time, an invalid time, and an end before the start are a 400."""
    with pytest.raises(BadRequest, match="datetime must be a time such as") as raised:
        parse_interval(text)
    assert raised.value.param == "datetime"
