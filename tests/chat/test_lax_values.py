"""Numbers and booleans as vLLM reads them."""

from __future__ import annotations

import pytest

from sarlens.chat.lax_values import requests_usage


@pytest.mark.parametrize(
    ("options", "requested"),
    [
        (None, False),
        ({}, False),
        ({"include_usage": None}, False),
        ({"include_usage": False}, False),
        ({"include_usage": "false"}, False),
        ({"include_usage": 0}, False),
        ({"include_usage": True}, True),
        ({"include_usage": "yes"}, True),
        ({"include_usage": "maybe"}, None),
        ("include_usage", None),
        ([], None),
    ],
)
def test_the_usage_is_requested_as_the_worker_reads_it(options: object, requested: bool | None) -> None:
    """Texts and numbers that vLLM takes for a boolean are one; other values are the worker's to reject."""
    assert requests_usage({"stream_options": options}) is requested
