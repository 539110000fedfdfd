"""Reasoning of models without a reasoning parser at the worker."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarlens.chat.reasoning import split_reasoning


@pytest.mark.parametrize(
    ("text", "reasoning", "answer"),
    [
        pytest.param("3 ships", "", "3 ships", id="none"),
        pytest.param("<think>Is it 4?</think>\n\n3", "Is it 4?", "3", id="a block"),
        pytest.param("\n<think>\nIs it 4?\n</think>3", "Is it 4?", "3", id="after a line break"),
        pytest.param("Is it 4?</think>3", "Is it 4?", "3", id="begun by the chat template"),
        pytest.param("<think>Is it 4", "Is it 4", "", id="cut off"),
        pytest.param("<think></think>3", "", "3", id="empty"),
        pytest.param("Write <think> first", "", "Write <think> first", id="a tag inside an answer"),
    ],
)
def test_a_block_is_reasoning(text: str, reasoning: str, answer: str) -> None:
    """The block at the start of a text is reasoning, also without its start or its end."""
    assert split_reasoning(text) == (reasoning, answer)


@given(st.text(), st.text().filter(lambda text: text == text.lstrip()))
def test_no_reasoning_is_in_an_answer(reasoning: str, answer: str) -> None:
    """Whatever the texts are, the answer is what follows the block, and a block without an end has no answer."""
    assert split_reasoning(f"<think>{reasoning}</think>{answer}") == (reasoning.strip(), answer)
    assert split_reasoning(f"<think>{reasoning}") == (reasoning.strip(), "")
