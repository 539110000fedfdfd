"""Normalize answers: words, numbers, synonyms and grid positions."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache

from sarlens.prompts.numbers import MAX_DIGITS, integer_of, with_digits

ROWS = {"top": 0, "bottom": 2}
COLUMNS = {"left": 0, "right": 2}
CENTER = "center"
CELLS = ("top left", "top", "top right", "left", CENTER, "right", "bottom left", "bottom", "bottom right")
"""Names of the nine grid cells, row by row from the upper left."""


# fmt: off
STOPWORDS = frozenset((
    "in", "at", "on", "near", "to", "toward", "towards", "around", "along", "within", "of", "it", "they", "are", "is",
    "image", "picture", "scene", "side", "part", "corner", "area", "region", "section", "portion", "edge", "quadrant",
    "half", "mostly", "located", "positioned",
))
# fmt: on
"""Words that don't change the position that a text names."""


def grid_cell(text: str) -> tuple[int, int] | None:
    """Return the row and column, 0 to 2 from the upper left, of a text that names only a position.

    A side alone is the middle cell of that side: ``top`` is ``top center``. Return None if the text contains anything
    else or contradicts itself.
    """
    words = set(normalize_words(text)) - STOPWORDS - SEPARATORS
    rows = {ROWS[word] for word in words if word in ROWS}
    columns = {COLUMNS[word] for word in words if word in COLUMNS}
    if not words or not words <= {*ROWS, *COLUMNS, CENTER} or len(rows) > 1 or len(columns) > 1:
        return None
    return rows.pop() if rows else 1, columns.pop() if columns else 1


def move_cell(name: str, move: Callable[[tuple[int, int]], tuple[int, int]]) -> str:
    """Return the name of the grid cell (row, col) to which ``move`` takes a named one."""
    row, col = move(divmod(CELLS.index(name), 3))
    return CELLS[3 * row + col]


SYNONYMS: tuple[tuple[str, ...], ...] = (
    # The first four groups are the examples in the paper's prompt for its judge.
    ("soccer", "football", "soccer field", "football field"),
    ("playground", "ground track field"),
    ("building", "rooftop"),
    ("swimming pool", "pond", "pool"),
    ("aircraft", "airplane", "aeroplane", "plane", "airliner"),
    ("ship", "vessel", "boat"),
    ("car", "vehicle", "automobile"),
    ("tank", "storage tank", "oil tank", "fuel tank"),
    ("harbor", "harbour", "port", "seaport"),
    ("center", "centre", "middle", "central"),
    ("top", "upper"),
    ("bottom", "lower"),
    ("road", "street"),
    ("forest", "woodland", "woods"),
    ("farmland", "agricultural field", "agricultural land", "cropland", "farm", "farm field", "agricultural"),
    ("grass", "grassland"),
    ("water", "body of water", "water body"),
    ("parking area", "parking lot", "car park", "parking"),
    ("residential", "residential area", "housing"),
    ("industrial", "industrial area", "industrial zone"),
    ("commercial", "commercial area"),
    ("urban", "urban area", "city"),
    ("rectangular", "rectangle"),
    ("circular", "circle", "round"),
    ("triangular", "triangle"),
    ("grid", "grid pattern", "grid like", "grid layout"),
)


WORD = re.compile(r"(?:(?<!\w)-)?(?:(?<![\d.,])\d{1,3}(?:,\d{3})+(?!,?\d)|\d+)(?:\.\d+)?|[^\W\d_]+|[,/&;]")
"""A number, a word, or a separator. A comma before each three digits separates thousands."""
BRACKETS = re.compile(r"\[[^\[\]]*\]|\([^()]*\)")
"""A list in brackets, whose commas separate its members."""
ARTICLES = frozenset({"a", "an", "the"})
SEPARATORS = frozenset({",", "/", "&", ";", "and"})


@lru_cache(maxsize=65536)
def normalize_words(text: str) -> tuple[str, ...]:
    """Return the words of a text: lower case, singular, without articles, with digits for numbers, synonyms unified.

    Commas, slashes, ``&`` and semicolons stay as words, since they separate the members of a list.
    """
    plain = BRACKETS.sub(lambda match: match[0].replace(",", ", "), unicodedata.normalize("NFKC", text).lower())
    kept = [_singular(word) for word in with_digits(WORD.findall(plain)) if word not in ARTICLES]
    while kept and kept[-1] in SEPARATORS:
        kept.pop()
    return _with_synonyms(tuple(kept))


def members(text: str) -> frozenset[tuple[str, ...]]:
    """Return the members of a list such as "commercial and residential"; a single item is a list of one."""
    parts: list[list[str]] = [[]]
    for word in normalize_words(text):
        if word in SEPARATORS:
            parts.append([])
        else:
            parts[-1].append(word)
    return frozenset(tuple(part) for part in parts if part)


def parse_integer(text: str) -> int | None:
    """Parse a text that is exactly one integer, in digits or words; return None otherwise."""
    words = normalize_words(text)
    return integer_of(words[0]) if len(words) == 1 else None


def parse_numbers(text: str) -> tuple[float, ...] | None:
    """Parse a text that is a list of at least two numbers, such as a box; return None otherwise."""
    words = [word for word in normalize_words(text) if word not in SEPARATORS]
    is_list = len(words) > 1 and all(word[-1].isdecimal() and len(word) <= MAX_DIGITS for word in words)
    return tuple(map(float, words)) if is_list else None


def _singular(word: str) -> str:
    if len(word) > 4 and word.endswith("ies"):
        return f"{word[:-3]}y"
    if word.endswith(("sses", "xes", "ches", "shes")):
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


def _phrases() -> dict[tuple[str, ...], tuple[str, ...]]:
    plain = [[tuple(_singular(word) for word in name.split()) for name in group] for group in SYNONYMS]
    return {name: group[0] for group in plain for name in group}


PHRASES = _phrases()
LONGEST = max(map(len, PHRASES))


def _with_synonyms(words: tuple[str, ...]) -> tuple[str, ...]:
    out: list[str] = []
    index = 0
    while index < len(words):
        for length in range(min(LONGEST, len(words) - index), 0, -1):
            if synonym := PHRASES.get(words[index : index + length]):
                out.extend(synonym)
                index += length
                break
        else:
            out.append(words[index])
            index += 1
    return tuple(out)
