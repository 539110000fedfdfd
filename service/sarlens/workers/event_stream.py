"""Server-sent events of a worker's stream, however the network cuts them."""

from __future__ import annotations

import re
from typing import NamedTuple

from sarlens.errors import WorkerFailed

MAX_EVENT_BYTES = 4 * 2**20
"""Maximum size of one event, which the gateway holds until it is complete."""

# Possessive, so that CR LF counts as one end of a line.
_BLANK_LINE = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
# Strings that an event which needn't be parsed doesn't have.
_MARKS = (b'"error"', b'"usage"', b"data: [DONE]", b"\r")
_LONGEST_BLANK_LINE = 4
_BOM = b"\xef\xbb\xbf"


class StreamEvent(NamedTuple):
    """One event, or a block of comments, which has no data."""

    raw: bytes
    """The bytes of the worker, with the blank line at the end."""
    name: bytes
    """Field ``event``."""
    data: bytes | None
    """The lines of field ``data``, joined; None if they are empty."""


class EventSplitter:
    """Splits a stream into events. An incomplete event waits for the next chunk."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = bytearray()

    def skim(self, chunk: bytes) -> tuple[int, int]:
        """Return the number of events, and of their bytes, at the beginning of a chunk that needn't be parsed.

        Each has one line of JSON, and neither an error nor the usage.
        """
        if self._rest or chunk[:7] != b"data: {":
            return 0, 0
        end = len(chunk)
        if _is_plain_event(chunk):
            return 1, end
        for mark in _MARKS:
            found = chunk.find(mark, 0, end)
            end = end if found < 0 else found
        if end < len(chunk):
            end = chunk.rfind(b"\n\n", 0, end) + 2
        head = chunk[:end]
        count = head.count(b"}\n\n")
        if head[-3:] == b"}\n\n" and head.count(b"\n") == 2 * count and head.count(b"\ndata: {") == count - 1:
            return count, end
        return 0, 0

    def feed(self, chunk: bytes) -> list[StreamEvent]:
        """Return the events that a chunk completes.

        Raises:
            WorkerFailed: an event has more than ``MAX_EVENT_BYTES`` bytes.
        """
        searched = max(0, len(self._rest) - _LONGEST_BLANK_LINE + 1)
        self._rest += chunk
        events, start = [], 0
        for blank_line in _BLANK_LINE.finditer(self._rest, searched):
            events.append(_parse(bytes(self._rest[start : blank_line.end()])))
            start = blank_line.end()
        del self._rest[:start]
        if len(self._rest) > MAX_EVENT_BYTES:
            raise WorkerFailed(f"An event of the worker's stream exceeds {MAX_EVENT_BYTES} bytes.")
        return events

    def flush(self) -> list[StreamEvent]:
        """Return the last event if the stream ended without a blank line."""
        rest, self._rest = bytes(self._rest), bytearray()
        return [_parse(rest)] if rest else []


def _is_plain_event(chunk: bytes) -> bool:
    """Return whether a chunk that begins with JSON is one event of one line, with none of ``_MARKS``."""
    if chunk[-3:] != b"}\n\n" or chunk.find(b"\n") != len(chunk) - 2:
        return False
    return b'"error"' not in chunk and b'"usage"' not in chunk and b"\r" not in chunk


def _parse(raw: bytes) -> StreamEvent:
    name, data = b"", []
    for line in raw.removeprefix(_BOM).splitlines():
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value
    return StreamEvent(raw, name, b"\n".join(data) or None)
