"""Chat bodies: images, their render parameters and limits."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarlens.chat.compose import build_worker_body, may_add_usage
from sarlens.chat.parse import find_images, parse_chat_request
from sarlens.errors import BadRequest, PayloadTooLarge, SarlensError, SourceNotAllowed
from sarlens.stac import Item
from sarlens.types.image_request import ImageRef, ImageRequest
from sarlens.types.render_params import RenderParams
from support.stac import item

TEXT = {"type": "text", "text": "How many ships?"}
PATH = "/v1/chat/completions"


def image(url: Any, **fields: Any) -> dict[str, Any]:
    """An image part."""
    return {"type": "image_url", "image_url": {"url": url, **fields}}


def test_images_are_found_with_their_position() -> None:
    """Each image part has the indexes of its message and part, and its render parameters."""
    messages = [
        {"role": "system", "content": "Answer concisely."},
        {"role": "user", "content": [TEXT, image("s3://scenes/a.tif", sar={"size": 64})]},
        {"role": "user", "content": [{"type": "image_url", "image_url": "https://e.com/b.png"}]},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"item": item({"vv": "s3://s/vv.tif"})}}]},
    ]
    first, second, third = find_images(messages, max_images=3)
    assert first == ImageRef("s3://scenes/a.tif", RenderParams(size=64), 1, 1)
    assert second == ImageRef("https://e.com/b.png", None, 2, 0)
    assert first.request == ImageRequest("s3://scenes/a.tif", RenderParams(size=64))
    assert isinstance(third.location, Item)
    assert third.location.assets["vv"].href == "s3://s/vv.tif"


def test_the_number_of_images_is_limited() -> None:
    """The limit itself is allowed; one more image is rejected."""
    messages = [{"role": "user", "content": [image("s3://scenes/a.tif")] * 2}] * 2
    assert len(find_images(messages, max_images=4)) == 4
    with pytest.raises(PayloadTooLarge) as rejected:
        find_images(messages, max_images=3)
    assert rejected.value.message == "A request can have at most 3 images."


@pytest.mark.parametrize("messages", [None, 7, {}, ["a"], [{"content": "a"}], [{"content": ["a"]}], [{}]])
def test_a_body_without_message_parts_has_no_images(messages: object) -> None:
    """Other values are left to the worker, which reports what is wrong."""
    assert find_images(messages, max_images=0) == ()


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (image(None), "messages[0].content[0].image_url.url must be a data:, https: or s3:// URL."),
        (image(""), "messages[0].content[0].image_url.url must be a data:, https: or s3:// URL."),
        (image("s3://a/b", item={}), "messages[0].content[0].image_url.url must be a data:, https: or s3:// URL."),
        (
            image("s3://a/b", sar=[]),
            "messages[0].content[0].image_url.sar: Input should be a valid dictionary or instance of RenderParams.",
        ),
    ],
)
def test_an_invalid_image_part_is_rejected(part: dict[str, Any], message: str) -> None:
    """The error names the part by its indexes."""
    with pytest.raises(BadRequest) as rejected:
        find_images([{"role": "user", "content": [part]}], max_images=1)
    assert rejected.value.message == message


@pytest.mark.parametrize("media", ["http://169.254.169.254/a.wav", {"url": "https://inside.test/a.wav"}])
@pytest.mark.parametrize("key", ["audio_url", "video_url"])
def test_a_url_that_the_worker_would_fetch_is_rejected(key: str, media: Any) -> None:
    """Audio and video must be data: URLs, because workers are inside the private network."""
    with pytest.raises(SourceNotAllowed) as rejected:
        find_images([{"role": "user", "content": [TEXT, {"type": key, key: media}]}], max_images=1)
    assert rejected.value.param == f"messages[0].content[1].{key}"
    assert (
        find_images([{"role": "user", "content": [{"type": key, key: "data:audio/wav;base64,AA"}]}], max_images=1) == ()
    )


def test_a_request_keeps_the_bytes_of_its_body() -> None:
    """Model, stream and images are parsed; the body stays as it came, byte for byte."""
    body = b'{ "model": "nano",  "stream": true, "messages": [] }'
    request = parse_chat_request(PATH, body, "id-1", max_images=1)
    assert (request.body, request.model, request.stream, request.images) == (body, "nano", True, ())
    assert (request.path, request.request_id) == (PATH, "id-1")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "The body is not valid JSON"),
        (b"[]", "The body must be a JSON object."),
        (b'{"model": 7}', "model must be a string."),
    ],
)
def test_another_body_is_rejected(body: bytes, message: str) -> None:
    """A body that isn't a JSON object, or has a model that isn't a name, is a bad request."""
    with pytest.raises(BadRequest, match=message):
        parse_chat_request(PATH, body, "id", max_images=1)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda x: (
            st.lists(x)
            | st.dictionaries(
                st.sampled_from(
                    ["messages", "content", "image_url", "url", "sar", "window", "bands", "type", "model", "uuid"]
                ),
                x,
            )
        ),
    )
)
def test_no_json_breaks_the_parser(document: object) -> None:
    """Any JSON is parsed or rejected with an error of the error table."""
    try:
        chat_request = parse_chat_request("/v1/chat/completions", json.dumps(document).encode(), "id", max_images=4)
    except SarlensError:
        return
    assert len(chat_request.images) <= 4


@given(st.binary())
def test_no_bytes_break_the_parser(body: bytes) -> None:
    """Any bytes are parsed or rejected as a bad request."""
    try:
        parse_chat_request("/v1/completions", body, "id", max_images=4)
    except SarlensError as error:
        assert error.status == 400


@pytest.mark.parametrize("field", ["cache_salt", "priority"])
def test_a_body_that_the_serializer_cannot_nest_is_a_bad_request(field: str) -> None:
    """The parser accepts 1,024 levels and the serializer 254: a change of a body of 400 levels is a 400, not a 500."""
    body = b'{"messages": [], "tools": %s}' % (b"[" * 400 + b"]" * 400)
    unchanged = parse_chat_request("/v1/chat/completions", body, "id", max_images=1)
    assert unchanged.body == body
    with_field = b'{"%s": 1,' % field.encode() + body[1:]
    without_field = parse_chat_request("/v1/chat/completions", with_field, "id", max_images=1)
    for changed in (unchanged.with_fields(priority=1), without_field):
        with pytest.raises(BadRequest, match="nested too deeply"):
            build_worker_body(changed, (), image_first=True)


@pytest.mark.parametrize(
    ("value", "stream"),
    [
        (True, True),
        (False, False),
        (None, False),
        ("true", True),
        ("on", True),
        (1, True),
        (1.0, True),
        ("0", False),
        ("maybe", False),
        (2, False),
    ],
)
def test_a_stream_is_a_stream_in_every_form_that_vllm_reads(value: object, stream: bool) -> None:
    """Texts and numbers that stand for true make a stream, whose usage the gateway requests, so that it counts."""
    body = orjson.dumps({"messages": [], "stream": value})
    request = parse_chat_request("/v1/chat/completions", body, "id", max_images=1)
    assert (request.stream, may_add_usage(request)) == (stream, stream)


@pytest.mark.parametrize(
    ("value", "adds"),
    [(None, True), (False, True), ("false", True), ("off", True), (0, True), ("yes", False), ([], False)],
)
def test_the_usage_is_requested_unless_the_caller_requests_it(value: object, adds: bool) -> None:
    """A caller can't avoid the count of its prompt by a text for false; what vLLM rejects stays as it is."""
    body = orjson.dumps({"messages": [], "stream": True, "stream_options": {"include_usage": value}})
    assert may_add_usage(parse_chat_request("/v1/chat/completions", body, "id", max_images=1)) is adds


def test_the_size_is_that_of_the_body_without_its_images() -> None:
    """A body with a data: URL of 300 kB has the size of its other bytes; one without images its whole size."""
    url = "data:image/png;base64," + "A" * 300_000
    for images in ((), (image(url),), (image(url), image("s3://scenes/a.tif"))):
        body = orjson.dumps({"messages": [{"role": "user", "content": [TEXT, *images]}]})
        urls = [part["image_url"]["url"] for part in images]
        assert parse_chat_request("/v1/chat/completions", body, "id", max_images=4).size == len(body) - len(
            "".join(urls)
        )
