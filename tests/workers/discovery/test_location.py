"""Locations of workers."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarlens.workers.discovery.location import make_discovery


@pytest.mark.parametrize(
    "place",
    [
        "",
        "gpu-1:8000",
        "ftp://gpu-1",
        "http://user:secret@gpu-1:8000",
        "http://",
        "http://gpu-1:99999",
        "http://gpu-1?x=1",
        "http://gpu\\1:8000",
        "http://[::1]gpu:8000",
        "http://gpu-1\x1f",
        "file://host/x",
        "dns://name",
        "dns://:8000",
        "dns://name:8000/path",
        "kubernetes://default",
        "kubernetes://default/vllm",
        "kubernetes://../vllm:8000",
        "kubernetes://default/a/b:8000",
    ],
)
def test_an_invalid_location_is_rejected(place: str) -> None:
    """An invalid location, or one with a password, is rejected; the message doesn't contain the password."""
    with pytest.raises(ValueError, match=r".+") as raised:
        make_discovery(place)
    assert "secret" not in str(raised.value)


@given(st.text(max_size=40), st.sampled_from(["", "http://", "file://", "dns://", "kubernetes://"]))
def test_any_text_is_a_location_or_a_value_error(tail: str, head: str) -> None:
    """Any text is either a location or raises ValueError."""
    with suppress(ValueError):
        make_discovery(head + tail)
