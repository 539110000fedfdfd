"""The rows of a released JSON file: OpenAI or ShareGPT conversations, or objects named like the CSV's columns."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from sarbench.dataset.jsonlist import json_list
from sarbench.dataset.layout import Part, Text
from sarlens.prompts.applications import QUESTION_PROMPT

PROMPTED = re.compile(re.escape(QUESTION_PROMPT).replace(r"\{question\}", "(.*)"), re.DOTALL)
MISSHAPEN = "neither user and assistant messages with an image nor the columns of the CSV"


def json_texts(part: Part, pieces: Iterator[bytes]) -> Iterator[tuple[int, Text | str]]:
    """Each text, or what is wrong with its row, with the line the row begins on, counted from 1.

    A conversation of several questions gives a text for each. Raises DatasetError: the file is no JSON list.
    """
    for line, row in json_list(part.path, pieces):
        try:
            texts = _conversation(row) if "messages" in row or "conversations" in row else [_object(part, row)]
        except (KeyError, TypeError, IndexError, AttributeError, ValueError):
            yield line, MISSHAPEN
            continue
        for text in texts:
            yield line, text


def _object(part: Part, row: dict[str, Any]) -> Text:
    named = {" ".join(name.lower().split()): value for name, value in row.items()}
    fields = {field: _words(named[column.lower()]) for column, field in part.columns.items()}
    return Text(**{"question": "", **fields})


def _conversation(row: dict[str, Any]) -> list[Text]:
    turns = row.get("messages") or row["conversations"]
    said = [(turn.get("role", turn.get("from")), turn.get("content", turn.get("value"))) for turn in turns]
    said = [(role in {"user", "human"}, _words(words)) for role, words in said if role != "system"]
    if not said or [is_user for is_user, _ in said] != [True, False] * (len(said) // 2):
        raise ValueError
    images = row.get("images") or row["image"]
    image = _words(images if isinstance(images, str) else images[0])
    words = [words for _, words in said]
    return [Text(image, _question(user), reply) for user, reply in zip(words[::2], words[1::2], strict=True)]


def _words(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise TypeError
    return str(value)


def _question(user: str) -> str:
    """The question alone, without the image token and the prompt around it."""
    question = user.replace("<image>", "").strip()
    prompted = PROMPTED.fullmatch(question)
    return prompted[1] if prompted else question
