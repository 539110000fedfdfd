"""Times and intervals of OGC APIs: RFC 3339, with ``..`` for an open end."""

from __future__ import annotations

from datetime import UTC, datetime

from sarlens.errors import BadRequest

Interval = tuple[float | None, float | None]
"""Start and end in seconds since 1970; None is an open end."""


def parse_interval(text: str) -> Interval:
    """Parse a time or an interval. A single time is both start and end.

    Raises:
        BadRequest: the text is neither a time nor an interval, or the start is after the end.
    """
    first, slash, last = text.partition("/")
    start = _parse_time(first)
    end = _parse_time(last) if slash else start
    if (start is None and end is None) or (start is not None and end is not None and start > end):
        raise _invalid_interval()
    return start, end


def _parse_time(text: str) -> float | None:
    if text in {"", ".."}:
        return None
    try:
        # An unencoded plus sign in a query arrives as a space.
        time = datetime.fromisoformat(text.replace(" ", "+"))
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise _invalid_interval() from None


def _invalid_interval() -> BadRequest:
    forms = "a time such as 2026-11-24T09:30:00Z, or an interval such as ../2026-12-01"
    return BadRequest(f"datetime must be {forms}.", param="datetime")
