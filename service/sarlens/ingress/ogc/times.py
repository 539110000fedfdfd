"""Times and intervals as OGC APIs write them (RFC 3339, ``..`` for an open end)."""

from __future__ import annotations

from datetime import UTC, datetime

from sarlens.errors import BadRequest

Interval = tuple[float | None, float | None]


def interval(text: str) -> Interval:
    """From and until, in seconds since 1970; None is an open end. A single time is both.

    Raises:
        BadRequest: it is neither a time nor an interval.
    """
    first, slash, last = text.partition("/")
    begin = _instant(first)
    end = _instant(last) if slash else begin
    if (begin is None and end is None) or (begin is not None and end is not None and begin > end):
        raise _refusal()
    return begin, end


def _instant(text: str) -> float | None:
    if text in {"", ".."}:
        return None
    try:
        # An offset's plus sign reads as a space where it was not encoded.
        time = datetime.fromisoformat(text.replace(" ", "+"))
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise _refusal() from None


def _refusal() -> BadRequest:
    wanted = "a time such as 2026-11-24T09:30:00Z, or an interval such as ../2026-12-01"
    return BadRequest(f"datetime is {wanted}.", param="datetime")
