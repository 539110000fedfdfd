"""The final answer in a model's text: without reasoning, markup, and the words that introduce it."""

from __future__ import annotations

import json
import re

from sarlens.chat.reasoning import split_reasoning

_TOKENS = re.compile(r"<\|[^|<>]{1,40}\|>|</?s>|<(?:eos|bos|pad|unk|end_of_turn)>|</?(?:b|i|em|strong|p|br|code)\s*/?>")
"""Special tokens that a worker didn't remove, and simple HTML."""
_FENCE = re.compile(r"```[\w-]*\n?|`")
_MARKUP = re.compile(r"\*\*|__|^[ \t]*(?:#{1,6}|>|[-*+])[ \t]+", re.MULTILINE)
_LATEX_TEXT = re.compile(r"\\(?:text|textbf|mathrm|mathbf)\s*\{([^{}]*)\}")
_TAGGED = re.compile(r"<answer>(.*?)(?:</answer>|$)", re.IGNORECASE | re.DOTALL)
_INTRODUCED = re.compile(
    r"(?:^|[.!?]\s+)[ \t]*(?:(?:so|thus|therefore|hence),?\s+)?"
    r"(?:(?:(?:the|my)\s+)?(?:final\s+|correct\s+|short\s+)?answer\s*(?:is\s*[:\uff1a]?|[:\uff1a])|a[:\uff1a])\s*",
    re.IGNORECASE | re.MULTILINE,
)
"""``Answer:``, ``The final answer is``, and the like, at the start of a line or sentence."""
_BOX_START = "\\boxed{"
_MAX_JSON_CHARACTERS = 10_000


def final_answer(text: str) -> str:
    """Return the final answer in a text; it is empty if the text ends within its reasoning or its box.

    In this order: reasoning is removed; ``<answer>…</answer>``, the last ``\\\\boxed{…}``, the only value of a JSON
    object, or the line after ``Answer:`` replace the whole text; Markdown, LaTeX, and special tokens are removed.
    """
    answer = _TOKENS.sub("", split_reasoning(text)[1])
    if tagged := _TAGGED.findall(answer):
        answer = tagged[-1]
    if _BOX_START in answer:
        answer = _boxed(answer)
    answer = _MARKUP.sub("", _FENCE.sub("", _LATEX_TEXT.sub(r"\1", answer))).replace("$", "")
    answer = _json_value(answer.strip())
    if introduced := list(_INTRODUCED.finditer(answer)):
        answer = answer[introduced[-1].end() :].partition("\n")[0]
    return answer.strip()


def _boxed(text: str) -> str:
    """Return the contents of the last box, or an empty string if it has no end."""
    begin = text.rindex(_BOX_START) + len(_BOX_START)
    depth = 1
    for index in range(begin, len(text)):
        depth += {"{": 1, "}": -1}.get(text[index], 0)
        if depth == 0:
            return text[begin:index]
    return ""


def _json_value(text: str) -> str:
    """Return the only value of a JSON object as text; any other text is returned unchanged."""
    if not text.startswith("{") or len(text) > _MAX_JSON_CHARACTERS:
        return text
    try:
        values = list(json.loads(text).values())
    except (ValueError, RecursionError):
        return text
    if len(values) != 1 or not isinstance(values[0], str | int | float):
        return text
    return {True: "yes", False: "no"}[values[0]] if isinstance(values[0], bool) else str(values[0])
