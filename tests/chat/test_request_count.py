"""The number of requests that a body counts for."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from sarlens.chat.request_count import MAX_CHOICES, count_requests


@pytest.mark.parametrize(
    ("document", "images", "requests"),
    [
        ({}, 0, 1),
        ({}, 1, 1),
        ({}, 16, 16),
        ({"n": 500}, 0, 500),
        ({"n": 3}, 2, 3),
        ({"n": 2}, 5, 5),
        ({"n": None}, 1, 1),
        ({"best_of": 8}, 0, 8),
        ({"n": 2, "best_of": 8}, 0, 8),
        ({"prompt": "Ships?"}, 0, 1),
        ({"prompt": ["Ships?", "Land?", "Sea?"]}, 0, 3),
        ({"prompt": ["Ships?", "Land?"], "n": 4}, 0, 8),
        ({"prompt": [15496, 11, 995]}, 0, 1),
        ({"prompt": [[15496, 11], [995]]}, 0, 2),
        ({"prompt": []}, 0, 1),
        ({"prompt": "Ships?", "prompt_embeds": ["AAAA", "BBBB"]}, 0, 3),
    ],
)
def test_answers_and_images_count(document: dict[str, Any], images: int, requests: int) -> None:
    """Prompts times ``n`` or ``best_of``, or the images if there are more."""
    assert count_requests(document, images) == requests


@pytest.mark.parametrize(
    ("n", "requests"),
    [
        *(("500", 500), (500.0, 500), ("  500 ", 500), ("5_00", 500), (True, 1), (MAX_CHOICES, MAX_CHOICES)),
        *((MAX_CHOICES + 1, MAX_CHOICES), (10**18, MAX_CHOICES), ("9" * 18, MAX_CHOICES)),
        *((0, 1), (-3, 1), (2.5, 1), ("many", 1), ([500], 1), ({}, 1), (1e300, 1), ("9" * 100_000, 1)),
    ],
)
def test_n_is_read_as_the_worker_reads_it(n: object, requests: int) -> None:
    """A number as text or float counts in full, up to vLLM's own limit; a value that vLLM rejects counts once."""
    assert count_requests({"n": n}, 0) == requests


class Completion(BaseModel):
    """The fields of vLLM's ``CompletionRequest`` that set the number of answers, with their types."""

    n: int = 1
    prompt: list[int] | list[list[int]] | str | list[str] | None = None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text("0123456789.-e_ ", max_size=6),
    lambda values: st.lists(values, max_size=4),
    max_leaves=8,
)


@given(n=JSON, prompt=JSON)
def test_no_body_counts_less_than_its_answers(n: object, prompt: object) -> None:
    """Any body that vLLM accepts counts at least its prompts times ``n``."""
    document = {"n": n, "prompt": prompt}
    try:
        accepted = Completion.model_validate(document)
    except ValidationError:
        assert count_requests(document, 0) >= 1
        return
    parsed = accepted.prompt
    prompts = len(parsed) if isinstance(parsed, list) and parsed and not isinstance(parsed[0], int) else 1
    if 1 <= accepted.n <= MAX_CHOICES:
        assert count_requests(document, 0) == prompts * accepted.n
