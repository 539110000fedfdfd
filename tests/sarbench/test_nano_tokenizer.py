"""The tokenizer of sarlens-nano."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sarbench.nano.tokenizer import (
    IMAGE,
    NUMBER_TOKENS,
    ROLE_TOKENS,
    SPECIAL_TOKENS,
    VOCAB_SIZE,
    build_tokenizer,
    load_lexicon,
)
from sarlens.prompts.applications import CAPTION_PROMPT, CATEGORIES_PREFIX, QUESTION_PROMPT

TOKENIZER = build_tokenizer()


def ids(text: str) -> list[int]:
    """Return the tokens of a text."""
    return list(TOKENIZER(text)["input_ids"])


@given(st.text())
def test_encoding_is_lossless(text: str) -> None:
    """Decoding returns any encoded text unchanged."""
    assert TOKENIZER.decode(ids(text)) == text


@given(st.integers(0, NUMBER_TOKENS - 1))
def test_numbers_are_one_token(number: int) -> None:
    """A number is the same single token alone, after a space, and in a box."""
    (token,) = ids(str(number))
    assert ids(f"are {number}")[-1] == token
    assert ids(f"area [{number}.0, 1.0]")[2] == token


def test_lexicon_words_are_one_token() -> None:
    """Every word of the lexicon is one token of its own."""
    tokens = [tuple(ids(piece)) for piece in load_lexicon()]
    assert {len(token) for token in tokens} == {1}
    assert len(set(tokens)) == len(tokens)


def test_prompt_texts_are_one_token() -> None:
    """The benchmark's prompt around a question adds two tokens."""
    question = "How many ships are in the image?"
    assert len(ids(QUESTION_PROMPT.format(question=question))) == len(ids(question)) + 2
    assert len(ids(CAPTION_PROMPT)) == len(ids(CATEGORIES_PREFIX)) == 1


def test_tokens_fit_the_vocabulary() -> None:
    """Every token has an embedding row, and the special tokens come first."""
    assert len(TOKENIZER) <= VOCAB_SIZE
    assert TOKENIZER.convert_tokens_to_ids(list(SPECIAL_TOKENS)) == list(range(len(SPECIAL_TOKENS)))


def test_images_precede_the_text() -> None:
    """Images come first, regardless of their order in the message."""
    image, text = {"type": "image"}, {"type": "text", "text": "How many?"}
    prompts = [
        TOKENIZER.apply_chat_template(
            [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
        )
        for content in ([image, text], [text, image])
    ]
    assert (
        prompts[0] == prompts[1] == f"{ROLE_TOKENS['user']}{IMAGE}How many?<end_of_utterance>{ROLE_TOKENS['assistant']}"
    )


def test_the_chat_template_formats_all_roles() -> None:
    """System messages, plain strings, earlier answers, and unknown roles are formatted."""
    chat = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
        {"role": "developer", "content": None},
    ]
    written = TOKENIZER.apply_chat_template(chat, tokenize=False)
    end = "<end_of_utterance>"
    assert written == f"<|system|>Be brief.{end}<|user|>Hi{end}<|assistant|>Hello{end}<|user|>{end}"
