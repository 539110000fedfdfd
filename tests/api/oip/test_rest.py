"""Bodies of the Open Inference Protocol over HTTP."""

from __future__ import annotations

from contextlib import suppress

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarlens.api.oip.rest import _read
from sarlens.errors import BadRequest
from support.workers.fake_worker import MODEL


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"{", {}),
        (b"[]", {}),
        (b'{"inputs": 3}', {}),
        (b'{"inputs": [{"name": "prompt", "datatype": "BYTES", "shape": [1]}]}', {}),
        (b'{"inputs": [{"name": "prompt", "datatype": "BYTES", "shape": [1], "data": [1]}]}', {}),
        (b'{"inputs": [{"name": "prompt", "datatype": "BYTES", "shape": [2], "data": ["x"]}]}', {}),
        (b'{"inputs": [{"name": "prompt", "datatype": "FP32", "shape": [1], "data": ["x"]}]}', {}),
        (b'{"inputs": [{"name": "prompt", "datatype": "BYTES", "shape": [99999999999999999999], "data": []}]}', {}),
        (b'{"inputs": []}', {"Inference-Header-Content-Length": "99"}),
        (b'{"inputs": []}', {"Inference-Header-Content-Length": "-1"}),
        (b'{"inputs": []} ', {"Inference-Header-Content-Length": "14"}),
        (b'{"inputs": []}', {"Content-Encoding": "br"}),
    ],
)
async def test_a_malformed_body_is_rejected(url: str, body: bytes, headers: dict[str, str]) -> None:
    """An invalid body is a 400 with a sentence, in the form that Triton's clients read."""
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{url}/v2/models/{MODEL}/infer", data=body, headers=headers) as response,
    ):
        assert response.status == 400
        assert isinstance((await response.json())["error"], str)


@given(st.binary(max_size=80), st.none() | st.text(max_size=5) | st.integers(0, 99).map(str))
def test_any_body_is_parsed_or_rejected(body: bytes, length: str | None) -> None:
    """Any bytes are either parsed or rejected as a bad request."""
    with suppress(BadRequest):
        _read(body, length)
