"""Tensors of the Open Inference Protocol, whatever wire they come over: elements of BYTES, in row-major order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from sarlens.errors import BadRequest

IMAGE, WORDS, OUTPUTS = "image", ("question", "prompt", "messages"), ("text", "answer", "usage")

Outputs = dict[str, bytes]
"""One element of each output."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """One input: BYTES elements in row-major order."""

    name: str
    datatype: str
    shape: Sequence[int]
    elements: Sequence[bytes]

    def checked(self) -> Sequence[bytes]:
        """The elements.

        Raises:
            BadRequest: they are of another datatype, none, or not as many as the shape says.
        """
        name = repr(self.name[:100])
        if self.datatype != "BYTES":
            raise BadRequest(f"The input {name} has to be of datatype BYTES.")
        if not self.elements or any(side < 1 for side in self.shape):
            raise BadRequest(f"The input {name} is empty.")
        if math.prod(self.shape) != len(self.elements):
            raise BadRequest(f"The input {name} has {len(self.elements)} elements, which its shape does not say.")
        return self.elements


def unpack_bytes(raw: bytes) -> list[bytes]:
    """The elements of a BYTES tensor in raw form: each is its length, four bytes little-endian, and itself.

    Raises:
        BadRequest: a length leads beyond the end.
    """
    found: list[bytes] = []
    at = 0
    while at < len(raw):
        end = at + 4 + int.from_bytes(raw[at : at + 4], "little")
        if at + 4 > len(raw) or end > len(raw):
            raise BadRequest("The raw contents of a BYTES tensor end inside an element.")
        found.append(raw[at + 4 : end])
        at = end
    return found


def pack_bytes(elements: Sequence[bytes]) -> bytes:
    """The raw form of a BYTES tensor."""
    return b"".join(len(element).to_bytes(4, "little") + element for element in elements)


def outputs_of(text: str, answer: dict[str, Any] | None, usage: dict[str, Any] | None) -> Outputs:
    """One element of each output."""
    return {"text": text.encode(), "answer": orjson.dumps(answer), "usage": orjson.dumps(usage)}


def wanted(names: Sequence[str]) -> Sequence[str]:
    """The outputs asked for; none named means all.

    Raises:
        BadRequest: there is none of that name.
    """
    for name in names:
        if name not in OUTPUTS:
            raise BadRequest(
                f"There is no output {name[:100]!r}; outputs are text, answer and usage.", param=name[:100]
            )
    return names or OUTPUTS
