"""Bodies for workers: images by value or by id, and the order of parts."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from sarlens.chat.compose import ImagePayload, build_batch_body, build_worker_body
from sarlens.chat.parse import parse_chat_request

TEXT = {"type": "text", "text": "How many ships?"}
FIRST, SECOND = ImagePayload("id-1", b"\x89PNG"), ImagePayload("id-2", b"\xff\xd8", "image/jpeg")
CACHED = ImagePayload("id-1", None)


def image(url: str, **fields: Any) -> dict[str, Any]:
    """An image part."""
    return {"type": "image_url", "image_url": {"url": url, **fields}}


def built(messages: list[Any], *payloads: ImagePayload, image_first: bool = False, **fields: Any) -> dict[str, Any]:
    """The body for a worker, parsed."""
    body = orjson.dumps({"messages": messages, **fields})
    request = parse_chat_request("/v1/chat/completions", body, "id", max_images=4)
    document: dict[str, Any] = orjson.loads(build_worker_body(request, payloads, image_first=image_first))
    return document


def test_a_payload_is_a_data_url() -> None:
    """The part has the bytes in base64 with their media type; without bytes it has no URL."""
    assert FIRST.url == "data:image/png;base64,iVBORw=="
    assert SECOND.url == "data:image/jpeg;base64,/9g="
    assert CACHED.url is None


def test_an_image_is_replaced_and_all_else_is_kept() -> None:
    """URL and uuid are the gateway's, ``sar`` is left out, and other fields of the caller stay."""
    part = image("s3://scenes/a.tif", sar={"size": 64}, detail="high") | {"uuid": "forged"}
    body = built([{"role": "user", "content": [TEXT, part], "name": "x"}], FIRST, temperature=0, user="me")
    assert body == {
        "messages": [
            {
                "role": "user",
                "content": [TEXT, image("data:image/png;base64,iVBORw==", detail="high") | {"uuid": "id-1"}],
                "name": "x",
            }
        ],
        "temperature": 0,
        "user": "me",
    }


def test_only_the_first_chat_of_a_batch_has_the_bytes() -> None:
    """Each chat has its text and the id of the image; other fields are those of all chats, and tokens are listed."""
    requests = [
        parse_chat_request(
            "/v1/chat/completions",
            orjson.dumps(
                {
                    "messages": [{"role": "user", "content": [{"type": "text", "text": text}, image("data:,x")]}],
                    "max_tokens": 9,
                }
            ),
            "id",
            max_images=4,
        )
        for text in ("a", "b")
    ]
    parts = [image("data:image/png;base64,iVBORw=="), {"type": "image_url", "image_url": None}]
    assert orjson.loads(build_batch_body(requests, [FIRST], image_first=True)) == {
        "messages": [
            [{"role": "user", "content": [part | {"uuid": "id-1"}, {"type": "text", "text": text}]}]
            for text, part in zip(("a", "b"), parts, strict=True)
        ],
        "max_tokens": 9,
        "return_token_ids": True,
    }


def test_a_cached_image_is_sent_by_id() -> None:
    """An image that the worker has is null, and only its id is sent."""
    body = built([{"role": "user", "content": [image("s3://scenes/a.tif", detail="high")]}], CACHED)
    assert body["messages"][0]["content"] == [{"type": "image_url", "image_url": None, "uuid": "id-1"}]


@pytest.mark.parametrize(("image_first", "kinds"), [(True, ["image_url", "text"]), (False, ["text", "image_url"])])
def test_the_only_image_of_a_message_can_go_first(image_first: bool, kinds: list[str]) -> None:
    """With ``image_first`` the image precedes the text, so that the worker reuses its prefix."""
    body = built([{"role": "user", "content": [TEXT, image("s3://a/b")]}], FIRST, image_first=image_first)
    assert [part["type"] for part in body["messages"][0]["content"]] == kinds


def test_two_images_of_a_message_keep_their_order() -> None:
    """With ``image_first``, parts of a message with two images aren't moved; those of another message are."""
    several = {"role": "user", "content": [TEXT, image("s3://a/b"), TEXT, image("s3://a/c")]}
    single = {"role": "user", "content": [TEXT, image("s3://a/d")]}
    body = built([several, single], FIRST, SECOND, ImagePayload("id-3", None), image_first=True)
    first, second = (message["content"] for message in body["messages"])
    assert [part.get("uuid") for part in first] == [None, "id-1", None, "id-2"]
    assert [part.get("uuid") for part in second] == ["id-3", None]
