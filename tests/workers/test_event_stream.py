"""Server-sent events, in every framing that the standard allows and however the network cuts them."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarlens.errors import WorkerFailed
from sarlens.workers import event_stream
from sarlens.workers.event_stream import EventSplitter, StreamEvent


def split(*chunks: bytes) -> list[StreamEvent]:
    """Return all events of a stream that arrives in these chunks."""
    splitter = EventSplitter()
    events = [event for chunk in chunks for event in splitter.feed(chunk)]
    return events + splitter.flush()


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: 1\n\ndata: 2\n\n", [(b"", b"1"), (b"", b"2")]),
        (b"data:1\n\ndata:  2\n\n", [(b"", b"1"), (b"", b" 2")]),
        (b"data: 1\r\n\r\ndata: 2\r\r", [(b"", b"1"), (b"", b"2")]),
        (b"data: 1\n\r\ndata: 2\r\n\n", [(b"", b"1"), (b"", b"2")]),
        (b": ping\n\n\n\ndata: 1\n\n", [(b"", b"1")]),
        (b"\xef\xbb\xbfdata: 1\n\n", [(b"", b"1")]),
        (b"event: error\nid: 7\nretry: 3\ndata: 1\n\n", [(b"error", b"1")]),
        (b"data: {\ndata: }\n\n", [(b"", b"{\n}")]),
        (b"data: 1\ndata: 2\n\ndata: 3\n\n", [(b"", b"1\n2"), (b"", b"3")]),
        (b"data\n\ndata: 1", [(b"", b"1")]),
    ],
)
def test_framings(stream: bytes, events: list[tuple[bytes, bytes]]) -> None:
    """Line ends, comments, fields, a byte order mark and several lines of data are read as the standard says."""
    assert [(event.name, event.data) for event in split(stream) if event.data is not None] == events


_BLOCKS = [
    b"data: {}\n\n",
    b"data:1\r\n\r\n",
    b": x\n\n",
    b"event: e\ndata: 1\ndata: 2\r\r",
    b"data: [DONE]\n\n",
    b"\n\n",
]


@given(st.lists(st.sampled_from(_BLOCKS), max_size=8), st.lists(st.integers(0, 120), max_size=20))
def test_cuts_change_nothing(blocks: list[bytes], cuts: list[int]) -> None:
    """However a stream is cut, the events have the same data, and their bytes together are those of the stream."""
    stream = b"".join(blocks)
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    cut = split(*(stream[start:end] for start, end in itertools.pairwise(edges)))
    assert b"".join(event.raw for event in cut) == stream
    assert [event[1:] for event in cut if event.data is not None] == [
        event[1:] for event in split(stream) if event.data is not None
    ]


def test_an_event_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """An event without an end is refused as soon as it has more than the limit of bytes."""
    monkeypatch.setattr(event_stream, "MAX_EVENT_BYTES", 1000)
    splitter = EventSplitter()
    for _ in range(10):
        assert splitter.feed(b"x" * 100) == []
    with pytest.raises(WorkerFailed, match="exceeds 1000 bytes"):
        splitter.feed(b"x")


@pytest.mark.parametrize(
    ("chunk", "events", "length"),
    [
        (b'data: {"a":1}\n\n', 1, 15),
        (b'data: {"a":1}\n\ndata: {"a":2}\n\n', 2, 30),
        (b'data: {"a":"}\\n\\ndata: {"}\n\n', 1, 28),
        (b'data: {"a":1}\n\ndata: [DONE]\n\n', 1, 15),
        (b'data: {"a":1}\n\ndata: {"usage":{}}\n\ndata: {"a":2}\n\n', 1, 15),
        (b'data: {"a":1}\n\ndata: {"a":2}\n\ndata: {"error":{}}\n\n', 2, 30),
        (b'data: {"usage":1}\n\n', 0, 0),
        (b'data: {"a":1}\n\nevent: error\ndata: {}\n\n', 0, 0),
        (b'data: {"a":\ndata: 1}\n\n', 0, 0),
        (b'data: {"a":1}\r\n\r\n', 0, 0),
        (b': x\n\ndata: {"a":1}\n\n', 0, 0),
        (b'data: {"a":1}\n\ndata:', 0, 0),
        (b'data: {"a":1}\n\ndata: {"b', 0, 0),
    ],
)
def test_plain_events_are_skimmed(chunk: bytes, events: int, length: int) -> None:
    """Whole events with one line of JSON are counted up to the first with an error, the usage or the end."""
    assert EventSplitter().skim(chunk) == (events, length)
