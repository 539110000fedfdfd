"""Reader for the released JSON files: OpenAI messages, ShareGPT conversations, or objects with the CSV's columns."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from sarbench.dataset.json_stream import iter_json_list
from sarbench.dataset.release_files import RawRow, TextFile
from sarlens.prompts.applications import QUESTION_PROMPT

QUESTION_PATTERN = re.compile(re.escape(QUESTION_PROMPT).replace(r"\{question\}", "(.*)"), re.DOTALL)
UNKNOWN_SHAPE = "the row has neither user and assistant messages with an image nor the columns of the CSV"


def read_json_rows(file: TextFile, chunks: Iterator[bytes]) -> Iterator[tuple[int, RawRow | str]]:
    """Yield ``(line, row)`` for each text, or ``(line, reason)`` for each invalid row.

    ``line`` is the first line of the JSON element, counted from 1. A conversation with several questions yields one row
    per question.

    Raises:
        DatasetError: the file is not a JSON list.
    """
    for line, row in iter_json_list(file.path, chunks):
        try:
            raw_rows = (
                _from_conversation(row) if "messages" in row or "conversations" in row else [_from_columns(file, row)]
            )
        except (KeyError, TypeError, IndexError, AttributeError, ValueError):
            yield line, UNKNOWN_SHAPE
            continue
        for raw_row in raw_rows:
            yield line, raw_row


def _from_columns(file: TextFile, row: dict[str, Any]) -> RawRow:
    values = {" ".join(name.lower().split()): value for name, value in row.items()}
    fields = {field: _as_text(values[column.lower()]) for column, field in file.columns.items()}
    return RawRow(**{"question": "", **fields})


def _from_conversation(row: dict[str, Any]) -> list[RawRow]:
    raw_messages = row.get("messages") or row["conversations"]
    messages = [
        (message.get("role", message.get("from")), message.get("content", message.get("value")))
        for message in raw_messages
    ]
    messages = [(role in {"user", "human"}, _as_text(text)) for role, text in messages if role != "system"]
    if not messages or [is_user for is_user, _ in messages] != [True, False] * (len(messages) // 2):
        raise ValueError
    images = row.get("images") or row["image"]
    image = _as_text(images if isinstance(images, str) else images[0])
    texts = [text for _, text in messages]
    return [RawRow(image, _bare_question(user), reply) for user, reply in zip(texts[::2], texts[1::2], strict=True)]


def _as_text(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise TypeError
    return str(value)


def _bare_question(user: str) -> str:
    """Remove the image token and the paper's prompt from a user message."""
    question = user.replace("<image>", "").strip()
    match = QUESTION_PATTERN.fullmatch(question)
    return match[1] if match else question
