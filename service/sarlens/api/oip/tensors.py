"""Tensors of the Open Inference Protocol, for REST and gRPC: BYTES elements in row-major order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from sarlens.api.common.schemas import MAX_QUESTIONS
from sarlens.errors import BadRequest, PayloadTooLarge

IMAGE, TEXT_INPUTS, OUTPUTS = "image", ("question", "prompt", "messages"), ("text", "answer", "usage")
MAX_ELEMENTS = MAX_QUESTIONS
"""Maximum number of elements of a tensor; the setting for questions per request is a lower limit."""
MAX_TENSORS = 16
"""Maximum number of inputs, and of outputs."""
MAX_ID_CHARS = 1024
"""Maximum length of a request's id and of a model name, which the response repeats."""
_MAX_DIMENSIONS = 8

Outputs = dict[str, bytes]
"""One element of each output, by name."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input tensor: BYTES elements in row-major order."""

    name: str
    datatype: str
    shape: Sequence[int]
    elements: Sequence[bytes]

    def validate(self) -> Sequence[bytes]:
        """Return the elements.

        Raises:
            BadRequest: the datatype isn't BYTES, the tensor is empty, or the shape doesn't match the elements.
        """
        name = repr(self.name[:100])
        if len(self.shape) > _MAX_DIMENSIONS:
            raise BadRequest(f"The shape of input {name} has more than {_MAX_DIMENSIONS} dimensions.")
        if self.datatype != "BYTES":
            raise BadRequest(f"The datatype of input {name} must be BYTES.")
        if not self.elements or any(side < 1 for side in self.shape):
            raise BadRequest(f"The input {name} is empty.")
        if math.prod(self.shape) != len(self.elements):
            raise BadRequest(f"The shape of input {name} doesn't match its {len(self.elements)} elements.")
        return self.elements


def unpack_bytes(raw: bytes) -> list[bytes]:
    """Unpack the raw form of a BYTES tensor: each element follows its length, a 4-byte little-endian integer.

    Raises:
        BadRequest: an element is truncated.
        PayloadTooLarge: there are more than ``MAX_ELEMENTS`` elements.
    """
    elements: list[bytes] = []
    offset = 0
    while offset < len(raw):
        end = offset + 4 + int.from_bytes(raw[offset : offset + 4], "little")
        if offset + 4 > len(raw) or end > len(raw):
            raise BadRequest("The raw contents of a BYTES tensor end inside an element.")
        if len(elements) == MAX_ELEMENTS:
            raise too_many_elements()
        elements.append(raw[offset + 4 : end])
        offset = end
    return elements


def too_many_elements() -> PayloadTooLarge:
    """The error about a tensor that no request can have."""
    return PayloadTooLarge(f"A tensor can have at most {MAX_ELEMENTS} elements.")


def pack_bytes(elements: Sequence[bytes]) -> bytes:
    """Return the raw form of a BYTES tensor."""
    return b"".join(len(element).to_bytes(4, "little") + element for element in elements)


def make_outputs(text: str, answer: dict[str, Any] | None, usage: dict[str, Any] | None) -> Outputs:
    """Build one element of each output."""
    return {"text": text.encode(), "answer": orjson.dumps(answer), "usage": orjson.dumps(usage)}


def select_outputs(names: Sequence[str]) -> Sequence[str]:
    """Return the requested outputs, or all outputs if the request names none.

    Raises:
        BadRequest: an output doesn't exist, or there are too many.
    """
    if len(names) > MAX_TENSORS:
        raise BadRequest(f"A request can name at most {MAX_TENSORS} outputs.")
    for name in names:
        if name not in OUTPUTS:
            raise BadRequest(
                f"The output {name[:100]!r} doesn't exist; outputs are text, answer and usage.", param=name[:100]
            )
    return names or OUTPUTS
