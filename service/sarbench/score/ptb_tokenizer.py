"""Tokens of the Penn Treebank, as pycocoevalcap's tokenizer gives them for captions.

Most papers score captions after this tokenizer: lower case, words apart from punctuation, and no punctuation. It runs
Stanford's PTBTokenizer in Java; this one covers the tokens that occur in captions.
"""

from __future__ import annotations

import re

_REMOVED = frozenset(
    ("''", "'", "``", "`", "-LRB-", "-RRB-", "-LCB-", "-RCB-", ".", "?", "!", ",", ":", "-", "--", "...", ";")
)
"""Punctuation that pycocoevalcap removes. Brackets stay, because the tokens are in lower case by then."""
_WORD = r"[^\W_\u00b2\u00b3]+(?:(?:[-_/]|(?<=[^\W\d_])\.(?=[^\W\d_]))[^\W_\u00b2\u00b3]+)*"
_TOKEN = re.compile(
    r"&amp;|(?:[a-z]\.){2,}|(?:mr|mrs|ms|dr|st|vs|etc|inc|no)\.(?=\s*[a-z0-9])|etc\.(?=\s*$)"
    r"|\d+(?:[.,:]\d+)+"
    rf"|{_WORD}(?=n['\u2019]t\b)|n['\u2019]t\b|['\u2019](?:s|re|ve|ll|d|m)\b|{_WORD}"
    r"|\.\.\.|--+|\*+|[?!]{2,}|[^\s\w]|[_\u00b2\u00b3]+"
)
"""Abbreviations, numbers, contractions, words with inner hyphens, slashes, or periods, and symbols, in this order."""
_SPLIT = {"cannot": ("can", "not"), "gonna": ("gon", "na"), "gotta": ("got", "ta"), "wanna": ("wan", "na")}
_NAMES = {
    "(": "-lrb-",
    ")": "-rrb-",
    "[": "-lsb-",
    "]": "-rsb-",
    "{": "-lcb-",
    "}": "-rcb-",
    '"': "''",
    "\u201c": "``",
    "\u201d": "''",
    "\u2018": "`",
    "\u2019": "'",
    "\u2013": "--",
    "\u2014": "--",
    "\u2026": "...",
    "€": "$",
    "£": "#",
    "&amp;": "&",
}
"""Names of symbols in the Penn Treebank."""


def ptb_tokenize(text: str) -> str:
    """Return the tokens of a caption in lower case, without punctuation, joined by single spaces."""
    tokens: list[str] = []
    for match in _TOKEN.finditer(text.lower()):
        token = _NAMES.get(match[0], match[0]).replace("\u2019", "'")
        tokens.extend(_SPLIT.get(token, (token,)))
    return " ".join(token for token in tokens if token not in _REMOVED)
