"""The parts of a message that a caller may send: an allow list of types, and of the fields of each type."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from sarlens.errors import BadRequest, SourceNotAllowed

IMAGE_TYPES = frozenset({"image_url", "input_image"})
_URL_TYPES = ("image_url", "audio_url", "video_url")
_MEDIA_TYPES = frozenset({"audio_url", "video_url", "input_audio"})
_PART_FIELDS: dict[str, frozenset[str]] = {
    **{name: frozenset({"type", "text"}) for name in ("text", "input_text", "output_text")},
    "refusal": frozenset({"type", "refusal"}),
    "thinking": frozenset({"type", "thinking", "closed"}),
    "tool_reference": frozenset({"type", "name"}),
    **{name: frozenset({"type", "image_url", "detail"}) for name in IMAGE_TYPES},
    **{name: frozenset({"type", name}) for name in _MEDIA_TYPES},
}
_PASSED_TYPES = _PART_FIELDS.keys() - _MEDIA_TYPES
_TYPES = ", ".join(sorted(_PART_FIELDS))
_INLINE_URL = re.compile(r"data:[\w.+-]{1,64}/[\w.+-]{1,64};base64,", re.ASCII)
_AUDIO_FORMAT = re.compile(r"[a-z0-9]{1,8}")


def check_part(part: Mapping[str, Any], message: int, index: int) -> str:
    """Return the type of part ``index`` of a message; a part without a type is of the type of its URL.

    Raises:
        BadRequest: callers may not send a part of this type, or its audio is invalid.
        SourceNotAllowed: the part has a URL that the worker would fetch.
    """
    part_type = _type_of(part)
    if part_type in _PASSED_TYPES:
        return part_type
    param = f"messages[{message}].content[{index}]"
    if part_type is None:
        raise BadRequest(f"{param}.type must be one of {_TYPES}.", param=f"{param}.type")
    if part_type in {"audio_url", "video_url"}:
        _check_inline_url(part.get(part_type), f"{param}.{part_type}")
    elif part_type == "input_audio":
        _check_input_audio(part.get(part_type), f"{param}.{part_type}")
    return part_type


def without_unknown_fields(messages: list[Any]) -> list[Any]:
    """Return messages whose parts have only the fields of their type; the same list if nothing is to remove.

    The worker trusts some fields, such as ``uuid``, which names an image in its cache. Parts must be checked before.
    """
    changed = {
        index: cleaned for index, message in enumerate(messages) if (cleaned := _clean_message(message)) is not message
    }
    return [changed.get(index, message) for index, message in enumerate(messages)] if changed else messages


def _clean_message(message: Any) -> Any:
    content = message.get("content") if isinstance(message, dict) else None
    if not isinstance(content, list) or not any(_has_unknown_fields(part) for part in content):
        return message
    parts = [_clean_part(part) if _has_unknown_fields(part) else part for part in content]
    return {**message, "content": parts}


def _has_unknown_fields(part: Any) -> bool:
    return isinstance(part, dict) and not part.keys() <= _PART_FIELDS[_type_of(part) or ""]


def _clean_part(part: dict[str, Any]) -> dict[str, Any]:
    fields = _PART_FIELDS[_type_of(part) or ""]
    return {name: value for name, value in part.items() if name in fields}


def _type_of(part: Mapping[str, Any]) -> str | None:
    """Return the type of a part, or None if callers may not send parts of this type."""
    part_type = part.get("type")
    if part_type is None:
        part_type = next((name for name in _URL_TYPES if name in part), None)
    return part_type if isinstance(part_type, str) and part_type in _PART_FIELDS else None


def _check_inline_url(media: object, param: str) -> None:
    """Workers are inside the private network, so a URL that they fetch would give a caller access to it."""
    url = media.get("url") if isinstance(media, dict) else media
    if not isinstance(url, str) or not _INLINE_URL.match(url):
        raise SourceNotAllowed(f"{param} must be a data: URL in base64: workers don't fetch URLs.", param=param)


def _check_input_audio(audio: object, param: str) -> None:
    fields = audio if isinstance(audio, dict) else {}
    data, audio_format = fields.get("data"), fields.get("format")
    if not (isinstance(data, str) and isinstance(audio_format, str) and _AUDIO_FORMAT.fullmatch(audio_format)):
        raise BadRequest(f"{param} must have data in base64 and a format, such as wav.", param=param)
