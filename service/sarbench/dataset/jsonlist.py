"""The elements of a JSON list, one at a time with the line each begins on, without holding the file."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from typing import Any

from sarbench.errors import DatasetError

ELEMENT_LIMIT = 8 << 20
"""Characters after which an element that does not end is given up."""

SPACE = " \t\r\n"
DECODER = json.JSONDecoder()


class _Text:
    """A window of decoded text that slides over the file; ``at`` is the place that has been read to."""

    def __init__(self, path: str, pieces: Iterator[bytes]) -> None:
        self.held = ""
        self.at = 0
        self.line = 1
        self._path = path
        self._pieces = pieces
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("surrogateescape")

    def more(self) -> bool:
        """Take in another piece and let go of what was read; False at the end of the file."""
        piece = next(self._pieces, None)
        self.held = self.held[self.at :] + self._decoder.decode(piece or b"", final=piece is None)
        self.at = 0
        return piece is not None

    def move(self, to: int) -> None:
        """Read on to a place in ``held``."""
        self.line += self.held.count("\n", self.at, to)
        self.at = to

    def peek(self) -> str:
        """The next character that is not white space; empty at the end of the file."""
        while True:
            to = self.at
            while to < len(self.held) and self.held[to] in SPACE:
                to += 1
            self.move(to)
            if to < len(self.held) or not self.more():
                return self.held[self.at : self.at + 1]

    def take(self) -> str:
        """Read past the character that ``peek`` shows."""
        character = self.peek()
        self.move(self.at + len(character))
        return character

    def wrong(self, what: str) -> DatasetError:
        """An error that names this place."""
        return DatasetError(f"{self._path}:{self.line}: {what}")


def json_list(path: str, pieces: Iterator[bytes]) -> Iterator[tuple[int, Any]]:
    """Each element with the line, counted from 1, that it begins on.

    Raises:
        DatasetError: the text is not one JSON list, breaks off, or an element is no JSON.
    """
    text = _Text(path, pieces)
    if text.take() != "[":
        raise text.wrong("not a JSON list")
    separator = text.take() if text.peek() == "]" else ","
    while separator == ",":
        text.peek()
        line = text.line
        yield line, _element(text)
        separator = text.take()
    if separator != "]" or text.peek():
        raise text.wrong("the JSON list breaks off" if not separator else "a comma or the end of the list is missing")


def _element(text: _Text) -> Any:
    """One value. A number near the end of the held text may go on in the next piece: ``1e+`` reads as 1 until then."""
    while True:
        try:
            value, end = DECODER.raw_decode(text.held, text.at)
        except (ValueError, RecursionError) as error:
            if len(text.held) - text.at > ELEMENT_LIMIT or not text.more():
                raise text.wrong("a row that is not JSON or breaks off") from error
        else:
            length, whole = end - text.at, end + len("e+") < len(text.held)
            if whole or not text.more():
                text.move(text.at + length)
                return value
