"""Boxes in texts: how models write them, and how to read and write each convention."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import islice
from math import floor
from typing import Literal, NamedTuple

from sarlens.prompts.classify import BOX
from sarlens.types.box import Box

BoxConvention = Literal["xywh", "xyxy", "xyxy_1", "xyxy_1000", "internvl", "sarchat"]
BoxNumbers = Literal["as_written", "integer", "whole", "decimal"]

MAX_BOXES = 100
"""Number of boxes that are read from one text."""
_NUMBER = re.compile(r"-?\d+(?:\.\d*)?")


class _Notation(NamedTuple):
    pattern: re.Pattern[str]
    template: str
    beginning: re.Pattern[str] = re.compile(r"\[[\s\d.,-]{0,96}$")
    """The beginning of a box at the end of a text."""
    extent: int | None = None
    """Coordinate of the right and the lower edge of the picture; None for its pixels."""
    has_corners: bool = True
    """Whether the numbers are left, upper, right and lower edge, and not x, y, width and height."""


_BRACKETS = "[{}, {}, {}, {}]"
_NOTATIONS: dict[BoxConvention, _Notation] = {
    "xywh": _Notation(BOX, _BRACKETS, has_corners=False),
    "xyxy": _Notation(BOX, _BRACKETS),
    "xyxy_1": _Notation(BOX, _BRACKETS, extent=1),
    "xyxy_1000": _Notation(BOX, _BRACKETS, extent=1000),
    "internvl": _Notation(
        re.compile(rf"<box>\s*\[\s*{BOX.pattern}\s*\]\s*</box>|{BOX.pattern}"),
        f"<box>[{_BRACKETS}]</box>",
        re.compile(r"<b?o?x?>?[\s\d.,\[\]-]{0,96}(?:</?b?o?x?)?$|\[[\s\d.,-]{0,96}$"),
        1000,
    ),
    "sarchat": _Notation(
        re.compile(r"\{\s*(?:<\s*\d+(?:\.\d*)?\s*>\s*){4}\}"),
        "{{<{}><{}><{}><{}>}}",
        re.compile(r"\{[\s<>\d.]{0,96}$"),
        100,
    ),
}


class BoxFormat(NamedTuple):
    """How a model writes boxes in a picture, and how it reads them.

    Sources: SARLANG-1M and SARDet-100K write COCO boxes, ``xywh``. Qwen2.5-VL counts the pixels of the picture after it
    resized each side to a ``multiple`` of 28, and Qwen2-VL and Qwen3-VL thousandths of each side (QwenLM/Qwen3-VL,
    issues 721, 866 and 1427). SARChat writes hundredths as in GeoChat.
    """

    convention: BoxConvention = "xywh"
    numbers: BoxNumbers = "as_written"
    """``integer`` is 56, ``whole`` 56.0, ``decimal`` 56.5, and ``as_written`` the form that the text has."""
    multiple: int = 1
    """The model resizes each side of the picture to a multiple of this, and counts pixels then."""

    def read(self, text: str, width: float, height: float) -> Iterator[Box]:
        """Iterate over the boxes of a text in pixels of a picture of ``width`` x ``height``; at most ``MAX_BOXES``."""
        found = islice(self._notation.pattern.finditer(text), MAX_BOXES)
        return (box for match in found if (box := self._box(match[0], width, height)) is not None)

    def write(self, box: Box, width: float, height: float, like: str = "") -> str:
        """Write a box of a picture of ``width`` x ``height`` pixels; ``like`` has the numbers as they were written."""
        extent_x, extent_y = self._extent(width, height)
        left, right = (x * extent_x / width for x in (box.x, box.x + box.width))
        top, bottom = (y * extent_y / height for y in (box.y, box.y + box.height))
        if self._notation.extent == 1:
            return self._notation.template.format(*(f"{edge:.3f}" for edge in (left, top, right, bottom)))
        numbers = "integer" if self._notation.extent else self.numbers
        form = _form_of(like) if numbers == "as_written" else numbers
        if form != "decimal":
            (left, right), (top, bottom) = _whole_edges(left, right, extent_x), _whole_edges(top, bottom, extent_y)
        edges = (left, top, right, bottom) if self._notation.has_corners else (left, top, right - left, bottom - top)
        digits = 0 if form == "integer" else 1
        return self._notation.template.format(*(f"{number:.{digits}f}" for number in edges))

    def replace(self, text: str, write: Callable[[Box, str], str], width: float, height: float) -> str:
        """Replace each box of a text; ``write`` gets the box in pixels of the picture, and its text."""

        def written(match: re.Match[str]) -> str:
            box = self._box(match[0], width, height)
            return match[0] if box is None else write(box, match[0])

        return self._notation.pattern.sub(written, text)

    def split_open_box(self, text: str) -> tuple[str, str]:
        """Split the beginning of a text that arrives in parts into its complete part and the beginning of a box."""
        found = self._notation.beginning.search(text)
        return (text, "") if found is None else (text[: found.start()], text[found.start() :])

    def _box(self, text: str, width: float, height: float) -> Box | None:
        """Return a box in pixels of the picture; None if its corners are exchanged."""
        a, b, c, d = map(float, _NUMBER.findall(text))
        if self._notation.has_corners:
            c, d = c - a, d - b
            if c < 0 or d < 0:
                return None
        extent_x, extent_y = self._extent(width, height)
        return Box(a * width / extent_x, b * height / extent_y, c * width / extent_x, d * height / extent_y)

    def _extent(self, width: float, height: float) -> tuple[float, float]:
        """Return the coordinates of the right and the lower edge of the picture."""
        if self._notation.extent is not None:
            return self._notation.extent, self._notation.extent
        if self.multiple == 1:
            return width, height
        across, down = (max(1, round(side / self.multiple)) * self.multiple for side in (width, height))
        return across, down

    @property
    def _notation(self) -> _Notation:
        return _NOTATIONS[self.convention]


IMAGE_BOXES = BoxFormat()
"""Boxes of callers: ``[x, y, width, height]`` in pixels of the image."""


def _form_of(text: str) -> BoxNumbers:
    """Return the form of the numbers in a text: whole numbers stay whole."""
    numbers = _NUMBER.findall(text)
    if any(float(number) % 1 for number in numbers):
        return "decimal"
    return "whole" if any("." in number for number in numbers) else "integer"


def _whole_edges(low: float, high: float, extent: float) -> tuple[float, float]:
    """Return the nearest whole edges that are 1 apart at least, within a picture that ends at ``extent``."""
    start = min(floor(low + 0.5), max(0, floor(extent) - 1))
    return start, max(floor(high + 0.5), start + 1)
