"""Tensors of the Open Inference Protocol, whatever they hold."""

from __future__ import annotations

from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from sarlens.errors import BadRequest
from sarlens.ingress.inquiries import read_inquiries
from sarlens.ingress.tensors import Tensor, pack_bytes, unpack_bytes


@given(st.lists(st.binary(max_size=20), max_size=20))
def test_bytes_survive_packing(elements: list[bytes]) -> None:
    """What is packed is unpacked."""
    assert unpack_bytes(pack_bytes(elements)) == elements


_NAMES = st.sampled_from(["image", "question", "prompt", "messages", "other"])


@given(
    st.lists(
        st.builds(
            Tensor,
            _NAMES,
            st.sampled_from(["BYTES", "FP32", ""]),
            st.lists(st.integers(-2, 5), max_size=3),
            st.lists(st.binary(max_size=9), max_size=5),
        ),
        max_size=4,
    ),
    st.binary(max_size=40),
)
def test_any_tensors_are_understood_or_refused(given_tensors: list[Tensor], raw: bytes) -> None:
    """Whatever tensors come, they are read or refused as a bad request, and torn contents are."""
    for read in (lambda: unpack_bytes(raw), lambda: read_inquiries(given_tensors, 64)):
        with suppress(BadRequest):
            read()
