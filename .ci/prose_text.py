"""Sentences of documentation, docstrings, comments and messages, each with its file and line."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(r"^\s*(```|~~~)")
_CODE = re.compile(r"``[^`]+``|`[^`\n]+`")
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_NOISE = re.compile(r"<[^>]+>|https?://\S+|[*_]{2}|\\[nt]")
_LIST = re.compile(r"^\s*(?:[-*+]|\d+\.)\s+")
_END = re.compile(r"(?<!e\.g)(?<!i\.e)(?<!etc)[.?!…][\"')\]*]*\s+(?=[\"'(\[*`]*[A-Z`])|\s*\|\s*|\n\s*\n")
_WORD = re.compile(r"[A-Za-z][A-Za-z'\u2019-]*")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_MIN_MESSAGE_WORDS = 3


@dataclass(frozen=True)
class Sentence:
    """One sentence, heading or table cell, with code replaced by ``X``."""

    path: Path
    line: int
    text: str
    heading: bool = False

    @property
    def words(self) -> int:
        """Number of English words."""
        return len(_WORD.findall(self.text))


def read_sentences(path: Path) -> list[Sentence]:
    """Return the sentences of one file; the suffix selects the reader."""
    text = path.read_text()
    blocks: Iterable[tuple[int, str, bool]]
    if path.suffix == ".md":
        blocks = _markdown(text)
    elif path.suffix == ".py":
        blocks = _python(text)
    elif path.suffix == ".proto":
        blocks = _comments(text, "//")
    else:
        blocks = [*_comments(text, "#"), *_template_messages(text)]
    return [sentence for line, block, heading in blocks for sentence in _split(path, line, block, heading=heading)]


def _split(path: Path, line: int, block: str, *, heading: bool) -> Iterator[Sentence]:
    # Keep newlines, so that a sentence knows its line.
    plain = _NOISE.sub(" ", _LINK.sub(r"\1", _CODE.sub("X", block)))
    start = 0
    for end in [*(match.end() for match in _END.finditer(plain)), len(plain)]:
        piece = plain[start:end]
        text = " ".join(piece.replace("|", " ").split())
        if _WORD.search(text):
            lead = len(piece) - len(piece.lstrip())
            yield Sentence(path, line + plain.count("\n", 0, start + lead), text, heading)
        start = end


def _markdown(text: str) -> Iterator[tuple[int, str, bool]]:
    """Yield paragraphs, list items, headings and table rows; skip code blocks and comments."""
    text = re.sub(r"<!--.*?-->", lambda match: "\n" * match[0].count("\n"), text, flags=re.DOTALL)
    block: list[str] = []
    first, fenced, nested = 1, False, False
    for number, line in enumerate([*text.splitlines(), ""], 1):
        if _FENCE.match(line):
            fenced = not fenced
            line = ""  # noqa: PLW2901  a fence ends the block
        elif fenced:
            continue
        indented_code = not block and not nested and line.startswith("    ")
        heading, own = line.startswith("#"), bool(_LIST.match(line)) or line.lstrip().startswith(("|", "!!!"))
        if line.strip() and not line.startswith("    "):
            nested = own  # an indented line below a list item or an admonition is a paragraph of it
        if block and (not line.strip() or heading or own or indented_code):
            yield first, "\n".join(block), False
            block = []
        if not line.strip() or indented_code or re.fullmatch(r"[\s|:-]+", line):
            continue
        if heading:
            yield number, line.lstrip("# "), True
        else:
            first = first if block else number
            block.append(_LIST.sub("", line).replace("!!! ", ""))


def _python(text: str) -> Iterator[tuple[int, str, bool]]:
    """Yield docstrings, comments, and string literals that read as sentences."""
    tree = ast.parse(text)
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else "X" for part in node.values]
            yield from _message(node.lineno, "".join(map(str, parts)))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            yield from _message(node.lineno, node.value)
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    yield from _join([(token.start[0], token.string) for token in tokens if token.type == tokenize.COMMENT], "#")


def _message(line: int, text: str) -> Iterator[tuple[int, str, bool]]:
    plain = re.sub(r"^([ \t]*)(>>>|\.\.\.|    ).*$", "", text, flags=re.MULTILINE) if ">>>" in text else text
    if len(_WORD.findall(plain)) >= _MIN_MESSAGE_WORDS and " " in plain.strip():
        yield line, plain, False


def _comments(text: str, mark: str) -> Iterator[tuple[int, str, bool]]:
    """Yield comments that begin with ``mark``, consecutive lines joined."""
    found = re.compile(rf"(?:^|\s){re.escape(mark)}(?!!)+\s?(.*)$")
    lines = [
        (number, match[0].strip()) for number, line in enumerate(text.splitlines(), 1) if (match := found.search(line))
    ]
    yield from _join(lines, mark)


def _join(lines: list[tuple[int, str]], mark: str) -> Iterator[tuple[int, str, bool]]:
    block: list[str] = []
    first = last = 0
    for number, line in [*lines, (-9, "")]:
        plain = re.sub(
            r"^(noqa|type|ruff|pragma|fmt|hadolint|shellcheck)\b\S*( [A-Z]+\d+,?)*", "", line.strip(mark + " ")
        )
        plain = re.sub(r"^-- ", "", plain)
        if block and number != last + 1:
            yield first, "\n".join(block), False
            block = []
        if number > 0:
            first = first if block else number
            block.append(plain)
        last = number


def _template_messages(text: str) -> Iterator[tuple[int, str, bool]]:
    """Yield the quoted messages and comments of Helm templates."""
    for match in re.finditer(r"\{\{-?\s*/\*(.*?)\*/", text, re.DOTALL):
        yield text.count("\n", 0, match.start()) + 1, match[1], False
    for number, line in enumerate(text.splitlines(), 1):
        if not line.lstrip().startswith("#"):
            for match in _QUOTED.finditer(line):
                yield from _message(number, match[1])
