"""The parts of a message that a caller may send: an allow list of types, and of the fields and values of each type."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from sarlens.chat.restricted_fields import is_restricted
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
_MEDIA_FIELDS = {
    "audio_url": frozenset({"url"}),
    "video_url": frozenset({"url"}),
    "input_audio": frozenset({"data", "format"}),
}
_USUAL_FIELDS = frozenset({"role", "content", "name", "tool_calls", "tool_call_id", "refusal"})
"""Fields of a message that aren't restricted, so that usual messages cost one comparison of sets."""
_TYPES = ", ".join(sorted(_PART_FIELDS))
_INLINE_URL = re.compile(r"data:[\w.+-]{1,64}/[\w.+-]{1,64};base64,", re.ASCII)
_AUDIO_FORMAT = re.compile(r"[a-z0-9]{1,8}")


def check_part(part: Mapping[str, Any], message: int, index: int) -> str:
    """Return the type of part ``index`` of a message; a part without a type is of the type of its URL.

    Raises:
        BadRequest: callers may not send a part of this type, or its text or its audio is invalid.
        SourceNotAllowed: the part has a URL that the worker would fetch.
    """
    part_type = _type_of(part)
    if part_type in IMAGE_TYPES:
        return part_type
    param = f"messages[{message}].content[{index}]"
    if part_type is None:
        raise BadRequest(f"{param}.type must be one of {_TYPES}.", param=f"{param}.type")
    if part_type in {"audio_url", "video_url"}:
        _check_inline_url(part.get(part_type), f"{param}.{part_type}")
    elif part_type == "input_audio":
        _check_input_audio(part.get(part_type), f"{param}.{part_type}")
    elif not all(_is_text(value) for name, value in part.items() if name in _PART_FIELDS[part_type]):
        raise BadRequest(f"{param} must have a text.", param=param)
    return part_type


def check_content(content: object, message: int) -> list[Any]:
    """Return the parts of a message; its content is a text, a list of parts, or null.

    Raises:
        BadRequest: the content or a part is something else, which a worker may read in a way of its own.
    """
    if isinstance(content, list) and all(isinstance(part, dict | str) for part in content):
        return content
    if content is None or isinstance(content, str):
        return []
    param = f"messages[{message}].content"
    raise BadRequest(f"{param} must be a text or a list of parts.", param=param)


def _is_text(value: object) -> bool:
    """Whether a value of a part is a text, a flag or, as in some models' thinking, a list of texts."""
    if isinstance(value, list):
        return all(isinstance(item, dict) and item.keys() == {"type", "text"} and _is_plain(item) for item in value)
    return value is None or isinstance(value, str | bool)


def _is_plain(part: Mapping[str, Any]) -> bool:
    return all(isinstance(value, str) for value in part.values())


def without_unknown_fields(messages: list[Any]) -> list[Any]:
    """Return messages whose parts have only the fields of their type; the same list if nothing is to remove.

    The worker trusts some fields, such as ``uuid``, which names an image in its cache. Parts must be checked before.
    """
    changed = {
        index: cleaned for index, message in enumerate(messages) if (cleaned := _clean_message(message)) is not message
    }
    return [changed.get(index, message) for index, message in enumerate(messages)] if changed else messages


def _clean_message(message: Any) -> Any:
    if not isinstance(message, dict):
        return message
    if not message.keys() <= _USUAL_FIELDS and any(map(is_restricted, message)):
        message = {name: value for name, value in message.items() if not is_restricted(name)}
    content = message.get("content")
    if not isinstance(content, list) or not any(_has_unknown_fields(part) for part in content):
        return message
    parts = [_clean_part(part) if _has_unknown_fields(part) else part for part in content]
    return {**message, "content": parts}


def _has_unknown_fields(part: Any) -> bool:
    if not isinstance(part, dict):
        return False
    part_type = _type_of(part) or ""
    if not part.keys() <= _PART_FIELDS[part_type]:
        return True
    media = part.get(part_type) if part_type in _MEDIA_FIELDS else None
    return isinstance(media, dict) and not media.keys() <= _MEDIA_FIELDS[part_type]


def _clean_part(part: dict[str, Any]) -> dict[str, Any]:
    part_type = _type_of(part) or ""
    cleaned = {name: value for name, value in part.items() if name in _PART_FIELDS[part_type]}
    media = cleaned.get(part_type)
    if part_type in _MEDIA_FIELDS and isinstance(media, dict):
        cleaned[part_type] = {name: value for name, value in media.items() if name in _MEDIA_FIELDS[part_type]}
    return cleaned


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
