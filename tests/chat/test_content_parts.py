"""Parts of messages: an allow list of types and fields, so that no caller names an entry of a worker's cache."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from sarlens.chat.compose import build_worker_body
from sarlens.chat.parse import clean_messages, parse_chat_request
from sarlens.errors import BadRequest, SourceNotAllowed

PATH = "/v1/chat/completions"
TEXT = {"type": "text", "text": "Ships?"}
ID = "0123" * 16
WAV = "data:audio/wav;base64,UklGRg=="


def forwarded(*parts: Any, **fields: Any) -> bytes:
    """The body that a worker gets for a message of these parts."""
    body = orjson.dumps({"messages": [{"role": "user", "content": list(parts)}], **fields})
    request = parse_chat_request(PATH, body, "id", max_images=4)
    return bytes(request.body or build_worker_body(request, (), image_first=True))


def parts_of(body: bytes) -> list[dict[str, Any]]:
    """The parts of the only message of a body."""
    (message,) = orjson.loads(body)["messages"]
    parts: list[dict[str, Any]] = message["content"]
    return parts


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_pil", "image_pil": None, "uuid": ID},
        {"image_pil": None, "uuid": ID},
        {"type": "image_embeds", "image_embeds": None, "uuid": ID},
        {"type": "video_embeds", "video_embeds": None, "uuid": ID},
        {"type": "audio_embeds", "audio_embeds": None, "uuid": ID},
        {"type": "prompt_embeds", "data": "AAAA"},
        {"type": "vision_chunk", "vision_chunk": None, "uuid": ID},
        {"type": "file", "file": {"file_id": "file-1"}},
        {"type": ["image_url"], "uuid": ID},
        {"type": "Image_PIL", "uuid": ID},
        {"uuid": ID},
        {},
    ],
)
def test_a_part_of_another_type_is_rejected(part: dict[str, Any]) -> None:
    """Types that aren't on the list are 400, and the error names the part and the list."""
    with pytest.raises(BadRequest) as rejected:
        forwarded(TEXT, part)
    assert rejected.value.param == "messages[0].content[1].type"
    assert rejected.value.message == (
        "messages[0].content[1].type must be one of audio_url, image_url, input_audio, input_image, input_text, "
        "output_text, refusal, text, thinking, tool_reference, video_url."
    )


@pytest.mark.parametrize(
    ("part", "kept"),
    [
        ({**TEXT, "uuid": ID}, TEXT),
        ({**TEXT, "image_pil": None, "uuid": ID}, TEXT),
        ({**TEXT, "image_url": None, "uuid": ID}, TEXT),
        ({**TEXT, "image_embeds": None}, TEXT),
        ({"type": "refusal", "refusal": "No.", "video_url": None, "uuid": ID}, {"type": "refusal", "refusal": "No."}),
        (
            {"type": "audio_url", "audio_url": {"url": WAV}, "uuid": ID},
            {"type": "audio_url", "audio_url": {"url": WAV}},
        ),
        ({"video_url": WAV, "image_pil": None, "uuid": ID}, {"video_url": WAV}),
    ],
)
def test_a_part_keeps_only_the_fields_of_its_type(part: dict[str, Any], kept: dict[str, Any]) -> None:
    """A ``uuid``, and each field of another type, doesn't reach the worker, since it would change what the part is."""
    assert parts_of(forwarded(TEXT, part)) == [TEXT, kept]


@pytest.mark.parametrize(
    "media", [None, {}, {"url": None}, [], "data:", "data:audio/wav,abc", "DATA:audio/wav;base64,A"]
)
@pytest.mark.parametrize("kind", ["audio_url", "video_url"])
def test_audio_and_video_need_inline_data(kind: str, media: Any) -> None:
    """A part without bytes is rejected, because a worker would take them from its cache or from a URL."""
    with pytest.raises(SourceNotAllowed) as rejected:
        forwarded({"type": kind, kind: media})
    assert rejected.value.param == f"messages[0].content[0].{kind}"


@pytest.mark.parametrize(
    "audio", [None, {}, {"data": None, "format": "wav"}, {"data": "AA", "format": "x;http://"}, "AA"]
)
def test_input_audio_needs_inline_data(audio: Any) -> None:
    """Audio without data, or with a format that isn't a name, is rejected."""
    with pytest.raises(BadRequest):
        forwarded({"type": "input_audio", "input_audio": audio})


@pytest.mark.parametrize("kind", ["audio_url", "video_url"])
def test_the_object_of_a_medium_keeps_only_its_url(kind: str) -> None:
    """A cache key inside the object of an audio or a video is removed."""
    url = "data:video/mp4;base64,AAAA"
    messages = [{"role": "user", "content": [{"type": kind, kind: {"url": url, "uuid": "a"}}]}]
    cleaned, _ = clean_messages(messages, max_images=1)
    assert cleaned == [{"role": "user", "content": [{"type": kind, kind: {"url": url}}]}]


@pytest.mark.parametrize("name", ["uuid", "image_pil", "multi_modal_uuids", "mm_data", "cache_salt", "image_embeds"])
def test_a_restricted_field_of_a_message_is_removed(name: str) -> None:
    """A message keeps the fields of its text and its tools, and fields that the gateway doesn't know."""
    kept = {"role": "user", "content": "Ships?", "prefix": True}
    cleaned, _ = clean_messages([{**kept, name: "a"}], max_images=1)
    assert cleaned == [kept]


@pytest.mark.parametrize(
    "content",
    [
        {"type": "image_pil", "image_pil": None, "uuid": "a"},
        [[{"type": "image_pil", "image_pil": None, "uuid": "a"}]],
        [5],
        [{"type": "text", "text": {"type": "image_pil", "uuid": "a"}}],
        [{"type": "thinking", "thinking": [{"type": "image_pil", "uuid": "a"}]}],
        [{"type": "thinking", "thinking": [{"type": "text", "text": "x", "uuid": "a"}]}],
        [{"type": "refusal", "refusal": ["a"]}],
    ],
)
def test_content_is_text_or_parts(content: Any) -> None:
    """Objects and lists in the place of a text or a part are rejected, whatever a worker would read in them."""
    with pytest.raises(BadRequest, match=r"messages\[0\]\.content"):
        clean_messages([{"role": "user", "content": content}], max_images=1)


def test_texts_of_all_types_pass() -> None:
    """Texts, strings as parts, and thinking as a text or a list of texts are forwarded."""
    parts = ["a", {"type": "text", "text": "b"}, {"type": "refusal", "refusal": "c"}]
    parts += [{"type": "thinking", "thinking": value} for value in ("d", [{"type": "text", "text": "e"}])]
    messages = [{"role": "assistant", "content": content} for content in (None, "x", parts)]
    assert clean_messages(messages, max_images=1) == (messages, ())


@pytest.mark.parametrize("prompt", [{"prompt_embeds": "AA"}, ["a", {"prompt_embeds": "AA"}]])
def test_a_prompt_is_no_object(prompt: Any) -> None:
    """A prompt that is an object, alone or in a list, is rejected."""
    with pytest.raises(BadRequest, match="prompt must be a text"):
        parse_chat_request("/v1/completions", orjson.dumps({"prompt": prompt}), "id", max_images=1)


def test_a_body_without_such_fields_is_forwarded_byte_for_byte() -> None:
    """Parts of text and inline audio pass with the spaces and the order of the caller."""
    body = (
        b'{"seed": 7 , "messages":[{"content":[ {"text":"a","type":"text"}, "b", {"type":"input_audio",'
        b'"input_audio":{"format":"wav","data":"AA"}}, {"type":"refusal","refusal":"c"}]}], "model":"m"}'
    )
    request = parse_chat_request(PATH, body, "id", max_images=4)
    assert (request.body is body, request.ignored_fields) == (True, ())
