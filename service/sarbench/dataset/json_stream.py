"""Streaming reader for a JSON list: yields one element at a time without loading the file."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from typing import Any

from sarbench.errors import DatasetError

MAX_ELEMENT_CHARACTERS = 8 << 20
"""Maximum length of one element. A longer element is an error."""

WHITESPACE = " \t\r\n"
DECODER = json.JSONDecoder()


class _TextBuffer:
    """Decoded text of a file, filled chunk by chunk. ``position`` is the index of the next unread character."""

    def __init__(self, path: str, chunks: Iterator[bytes]) -> None:
        self.buffer = ""
        self.position = 0
        self.line = 1
        self._path = path
        self._chunks = chunks
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("surrogateescape")

    def fill(self) -> bool:
        """Append the next chunk and drop consumed text. Return False at the end of the file."""
        chunk = next(self._chunks, None)
        self.buffer = self.buffer[self.position :] + self._decoder.decode(chunk or b"", final=chunk is None)
        self.position = 0
        return chunk is not None

    def advance_to(self, position: int) -> None:
        """Consume text up to ``position`` in ``buffer``."""
        self.line += self.buffer.count("\n", self.position, position)
        self.position = position

    def peek(self) -> str:
        """Return the next character that isn't white space, or an empty string at the end of the file."""
        while True:
            position = self.position
            while position < len(self.buffer) and self.buffer[position] in WHITESPACE:
                position += 1
            self.advance_to(position)
            if position < len(self.buffer) or not self.fill():
                return self.buffer[self.position : self.position + 1]

    def read_character(self) -> str:
        """Consume and return the character that ``peek`` returns."""
        character = self.peek()
        self.advance_to(self.position + len(character))
        return character

    def error(self, reason: str) -> DatasetError:
        """Return an error that names the file and the current line."""
        return DatasetError(f"{self._path}:{self.line}: {reason}")


def iter_json_list(path: str, chunks: Iterator[bytes]) -> Iterator[tuple[int, Any]]:
    """Yield ``(line, element)`` for each element; ``line`` is its first line, counted from 1.

    Raises:
        DatasetError: the text is not a JSON list, is truncated, or has an invalid element.
    """
    text = _TextBuffer(path, chunks)
    if text.read_character() != "[":
        raise text.error("not a JSON list")
    separator = text.read_character() if text.peek() == "]" else ","
    while separator == ",":
        text.peek()
        line = text.line
        yield line, _read_element(text)
        separator = text.read_character()
    if separator != "]" or text.peek():
        raise text.error("the JSON list is truncated" if not separator else "a comma or the end of the list is missing")


def _read_element(text: _TextBuffer) -> Any:
    """Read one value.

    A number at the end of the buffer can continue in the next chunk: ``1e+`` parses as 1 until more text arrives.
    """
    while True:
        try:
            value, end = DECODER.raw_decode(text.buffer, text.position)
        except (ValueError, RecursionError) as error:
            if len(text.buffer) - text.position > MAX_ELEMENT_CHARACTERS or not text.fill():
                raise text.error("a row is not valid JSON or is truncated") from error
        else:
            length, complete = end - text.position, end + len("e+") < len(text.buffer)
            if complete or not text.fill():
                text.advance_to(text.position + length)
                return value
