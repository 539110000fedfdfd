"""Messages are counted in their bytes before they are decoded."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2 as oip

from sarlens.api.grpc.messages import MAX_FIELDS, check_size, decode
from sarlens.api.grpc.v1 import sar_pb2 as sar
from sarlens.errors import BadRequest, PayloadTooLarge

TENSOR = oip.ModelInferRequest.InferInputTensor


@pytest.mark.parametrize(
    ("message", "fields"),
    [
        (sar.VqaRequest(questions=[sar.Question(question="a")] * 8192), 2 * 8192),
        (oip.ModelInferRequest(inputs=[TENSOR(shape=[1] * 16_382)]), 16_384),
        (oip.ModelInferRequest(raw_input_contents=[b"a" * 100] * 16_384), 16_384),
        (oip.ModelInferRequest(inputs=[TENSOR(parameters={"a": oip.InferParameter(bool_param=True)})] * 3276), 16_380),
    ],
)
def test_fields_are_counted(message: Any, fields: int) -> None:
    """A message has one field per value and per message, and one per packed number; contents of bytes don't count."""
    data = message.SerializeToString()
    assert decode(type(message), data) == message
    more = b"\xf2\x07\x00" * (MAX_FIELDS - fields)
    check_size(message.DESCRIPTOR, data + more)
    with pytest.raises(PayloadTooLarge):
        check_size(message.DESCRIPTOR, data + more + b"\xf2\x07\x00")


@given(st.binary(max_size=300))
def test_bytes_that_are_no_message(data: bytes) -> None:
    """Any bytes are counted without an exception of Python, and decode or are a BadRequest."""
    check_size(oip.ModelInferRequest.DESCRIPTOR, data)
    try:
        decode(oip.ModelInferRequest, data)
    except BadRequest as error:
        assert error.message == "The request isn't a valid ModelInferRequest message."


def test_fields_before_a_malformed_end_are_counted() -> None:
    """A malformed end doesn't hide the fields before it, which the decoder makes first."""
    inputs = oip.ModelInferRequest(inputs=[TENSOR(shape=[1] * 20_000)]).SerializeToString()
    with pytest.raises(PayloadTooLarge):
        decode(oip.ModelInferRequest, inputs + b"\xff" * 20)


def test_long_texts_must_be_ascii() -> None:
    """A text over 8 MiB with one emoji would take 4 bytes a character; in ASCII it takes one."""
    text = "a" * (8 * 2**20)
    assert len(decode(oip.ModelInferRequest, oip.ModelInferRequest(id=text + "a").SerializeToString()).id) == 2**23 + 1
    with pytest.raises(PayloadTooLarge):
        decode(oip.ModelInferRequest, oip.ModelInferRequest(id=text + "😀").SerializeToString())
