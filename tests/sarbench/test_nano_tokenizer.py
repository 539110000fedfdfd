"""The tokenizer: any text comes back, and the small world costs few tokens."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sarbench.nano.tokenizer import IMAGE, NUMBERS, ROLES, SPECIALS, VOCABULARY, build_tokenizer, lexicon
from sarlens.prompts.applications import CAPTION_PROMPT, CATEGORIES_PREFIX, QUESTION_PROMPT

TOKENIZER = build_tokenizer()


def ids(text: str) -> list[int]:
    """The tokens of a text."""
    return list(TOKENIZER(text)["input_ids"])


@given(st.text())
def test_any_text_comes_back(text: str) -> None:
    """Whatever a caller writes is encoded without loss."""
    assert TOKENIZER.decode(ids(text)) == text


@given(st.integers(0, NUMBERS - 1))
def test_a_number_is_one_token(number: int) -> None:
    """A count or coordinate is one token, the same one alone, after a blank and in a box."""
    (token,) = ids(str(number))
    assert ids(f"are {number}")[-1] == token
    assert ids(f"area [{number}.0, 1.0]")[2] == token


def test_the_lexicon_is_one_token_each() -> None:
    """Every piece of the lexicon is one token, and no two pieces share it."""
    tokens = [tuple(ids(piece)) for piece in lexicon()]
    assert {len(token) for token in tokens} == {1}
    assert len(set(tokens)) == len(tokens)


def test_fixed_sentences_cost_one_token() -> None:
    """The benchmark's own words around a question are two tokens."""
    question = "How many ships are in the image?"
    assert len(ids(QUESTION_PROMPT.format(question=question))) == len(ids(question)) + 2
    assert len(ids(CAPTION_PROMPT)) == len(ids(CATEGORIES_PREFIX)) == 1


def test_it_fits_its_vocabulary() -> None:
    """There is a row of the embedding for every token, and the special ones come first."""
    assert len(TOKENIZER) <= VOCABULARY
    assert TOKENIZER.convert_tokens_to_ids(list(SPECIALS)) == list(range(len(SPECIALS)))


def test_images_stand_before_the_text() -> None:
    """Wherever a caller puts an image among the parts of a message, the model reads it first."""
    image, text = {"type": "image"}, {"type": "text", "text": "How many?"}
    asked = [
        TOKENIZER.apply_chat_template(
            [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
        )
        for content in ([image, text], [text, image])
    ]
    assert asked[0] == asked[1] == f"{ROLES['user']}{IMAGE}How many?<end_of_utterance>{ROLES['assistant']}"


def test_chats_without_images_are_written_out() -> None:
    """A system message, plain strings, earlier answers and unknown roles all have their place."""
    chat = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
        {"role": "developer", "content": None},
    ]
    written = TOKENIZER.apply_chat_template(chat, tokenize=False)
    end = "<end_of_utterance>"
    assert written == f"<|system|>Be brief.{end}<|user|>Hi{end}<|assistant|>Hello{end}<|user|>{end}"
