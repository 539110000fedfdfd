"""Where in the image an answer points: one of nine cells."""

from __future__ import annotations

from sarlens.prompts.words import SEPARATORS, words

ROWS = {"top": 0, "bottom": 2}
COLUMNS = {"left": 0, "right": 2}
CENTER = "center"
CELLS = ("top left", "top", "top right", "left", CENTER, "right", "bottom left", "bottom", "bottom right")
"""The nine cells by name, row after row from the upper left."""
# fmt: off
FILLING = frozenset((
    "in", "at", "on", "near", "to", "toward", "towards", "around", "along", "within", "of", "it", "they", "are", "is",
    "image", "picture", "scene", "side", "part", "corner", "area", "region", "section", "portion", "edge", "quadrant",
    "half", "mostly", "located", "positioned",
))
# fmt: on
"""Words that may surround a place without changing it."""


def cell(text: str) -> tuple[int, int] | None:
    """Row and column, 0 to 2 from the upper left, of an answer that names a place and nothing else.

    A side alone is the middle cell of that side: ``top`` is ``top center``. None where the answer says anything else
    or contradicts itself.
    """
    said = set(words(text)) - FILLING - SEPARATORS
    rows = {ROWS[word] for word in said if word in ROWS}
    columns = {COLUMNS[word] for word in said if word in COLUMNS}
    if not said or not said <= {*ROWS, *COLUMNS, CENTER} or len(rows) > 1 or len(columns) > 1:
        return None
    return rows.pop() if rows else 1, columns.pop() if columns else 1


def place_name(text: str) -> str | None:
    """The name of the cell that an answer names; None where ``cell`` knows none."""
    place = cell(text)
    return None if place is None else CELLS[3 * place[0] + place[1]]
