"""Tensors of the Open Inference Protocol."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarlens.api.oip.requests import parse_infer_items
from sarlens.api.oip.tensors import Tensor, pack_bytes, select_outputs, unpack_bytes
from sarlens.errors import BadRequest, PayloadTooLarge, SarlensError


@given(st.lists(st.binary(max_size=20), max_size=20))
def test_bytes_survive_packing(elements: list[bytes]) -> None:
    """Packing and unpacking return the same elements."""
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
def test_any_tensors_are_parsed_or_rejected(given_tensors: list[Tensor], raw: bytes) -> None:
    """Any tensors are either parsed or rejected with BadRequest; truncated contents are always rejected."""
    for read in (lambda: unpack_bytes(raw), lambda: parse_infer_items(given_tensors, 64)):
        with suppress(BadRequest):
            read()


@pytest.mark.parametrize(
    ("tensor", "error_cls"),
    [
        (lambda: unpack_bytes(b"\0" * 4 * 4097), PayloadTooLarge),
        (lambda: Tensor("image", "BYTES", [2**62] * 100_000, [b"a"]).validate(), BadRequest),
        (lambda: select_outputs(["text"] * 17), BadRequest),
        (lambda: parse_infer_items([Tensor("question", "BYTES", [1], [b"a" * 2**23 + b"a"])], 64), PayloadTooLarge),
    ],
)
def test_tensors_are_bounded(tensor: Callable[[], object], error_cls: type[SarlensError]) -> None:
    """A tensor has at most 4,096 elements, 8 dimensions and 8 MiB of text, and a request at most 16 outputs."""
    assert len(unpack_bytes(b"\0" * 4 * 4096)) == 4096
    started_at = time.process_time()
    with pytest.raises(error_cls):
        tensor()
    assert time.process_time() - started_at < 0.5
