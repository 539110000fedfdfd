"""The widest, deepest and longest JSON values that a body can have."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from sarlens.json_input import MAX_TEXT_BYTES, MAX_VALUES

_WIDE = MAX_VALUES - 64
"""Values of a list; an empty array or object counts twice."""
_BODY_BYTES = 62 * 2**20

VALUES: dict[str, bytes] = {
    "objects": b"[" + b"{}," * (_WIDE // 2 - 1) + b"{}]",
    "arrays": b"[" + b"[]," * (_WIDE // 2 - 1) + b"[]]",
    "numbers": b"[" + b"1," * (_WIDE - 1) + b"1]",
    "texts": b"[" + b'"a",' * (_WIDE - 1) + b'"a"]',
    "pairs": b"[" + b"[1,1]," * (_WIDE // 3 - 1) + b"[]]",
    "items": b"[" + b'{"url":1,"name":"a"},' * (_WIDE // 3 - 1) + b"{}]",
    "fields": b"{" + b",".join(b'"k%d":1' % index for index in range(_WIDE)) + b"}",
    "deep": b"[" * 1000 + b"]" * 1000,
    "long text": b'"' + b"a" * (MAX_TEXT_BYTES - 4096) + b'"',
    "long wide text": b'"' + b"a" * (MAX_TEXT_BYTES - 4096) + "😀".encode() + b'"',
    "commas": b'"' + b"a," * (MAX_TEXT_BYTES // 2 - 4096) + b'"',
    "percent": b'"s3://scenes/' + b"%41" * (MAX_TEXT_BYTES // 3 - 4096) + b'"',
    "long name": b'{"' + b"k" * (MAX_TEXT_BYTES - 4096) + b'":1}',
}
"""JSON at a limit, by its form."""
LARGEST: dict[str, bytes] = {
    "questions": b"[" + b'"a",' * (_BODY_BYTES // 4) + b'"a"]',
    "objects": b"[" + b"{}," * (_BODY_BYTES // 3) + b"{}]",
    "percent": b'"s3://scenes/' + b"%41" * (_BODY_BYTES // 3) + b'"',
    "data": b'"data:image/png;base64,' + b"A" * _BODY_BYTES + b'"',
    "percent in data": b'"data:,' + b"%41" * (_BODY_BYTES // 3) + b'"',
    "brackets": b"[" * _BODY_BYTES,
}
"""JSON of 62 MiB, by its form; only ``data`` is within the limits."""


def with_value(document: Any, values: dict[str, bytes]) -> Iterator[tuple[str, bytes]]:
    """Yield bodies with each value in place of each part of a document, by the name of both."""
    slot = "\0slot"
    for path, body in _replaced(document, slot):
        before, after = json.dumps(body).encode().split(json.dumps(slot).encode())
        for name, value in values.items():
            yield f"{path}: {name}", before + value + after


def _replaced(document: Any, slot: str) -> Iterator[tuple[str, Any]]:
    yield "", slot
    for key, value in document.items() if isinstance(document, dict) else ():
        for path, part in _replaced(value, slot):
            yield f"{key}.{path}", {**document, key: part}
    for index, value in enumerate(document[:1]) if isinstance(document, list) else ():
        for path, part in _replaced(value, slot):
            yield f"{index}.{path}", [part, *document[1:]]
