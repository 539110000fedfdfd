"""Every route with the widest, deepest and longest body that the limits allow, and with larger ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice, product
from typing import Any

from yarl import URL

from support.bounds_walk import MAX_ERROR_BYTES, walk
from support.pictures import DATA_URL
from support.widest_bodies import LARGEST, VALUES, with_value
from support.workers.fake_worker import MODEL

STEP = 8
"""One of so many combinations is tried."""
LARGE_FIELDS = {
    "/v1/chat/completions": "messages",
    "/v1/completions": "prompt",
    "/v1/sar/vqa": "image",
    "/v1/sar/captions": "image",
    "/v1/sar/surveys": "questions",
    "/processes/vqa/execution": "inputs",
    f"/v2/models/{MODEL}/infer": "inputs",
}
SAR = {
    "window": [0, 0, 8, 8],
    "bands": ["VV"],
    "polygon": {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 0]]]},
    "preset": "plain",
}
ITEM = {
    "type": "Feature",
    "stac_version": "1.0.0",
    "id": "a",
    "properties": {"platform": "a", "sar:polarizations": ["VV"]},
    "assets": {"vv": {"href": "https://a/b.tif", "roles": ["data"], "bands": [{"name": "VV"}]}},
    "links": [{"rel": "self", "href": "https://a/b"}],
}
IMAGE = {"url": "https://images.test/a.tif", "sar": SAR}
BODIES: dict[str, Any] = {
    "/v1/chat/completions": {
        "model": MODEL,
        "messages": [
            {
                "role": "user",
                "content": [{"type": "image_url", "image_url": IMAGE}, {"type": "text", "text": "How many ships?"}],
            }
        ],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
    },
    "/v1/completions": {"model": MODEL, "prompt": "Radar", "logit_bias": {"1": 1}},
    "/v1/sar/vqa": {"image": IMAGE, "questions": [{"question": "How many ships?", "id": "a"}], "max_tokens": 9},
    "/v1/sar/captions": {"image": {"item": ITEM}, "style": "concise"},
    "/v1/sar/surveys": {"image": IMAGE, "questions": ["How many ships?"], "tile": 512, "output": "s3://a/b"},
    "/processes/vqa/execution": {
        "inputs": {"image": {"href": "https://images.test/a.tif"}, "question": ["How many ships?"], "bands": ["VV"]},
        "outputs": {"answers": {}},
    },
    "/processes/survey/execution": {
        "inputs": {"image": ITEM, "question": "How many?", "bbox": {"bbox": [0, 0, 1, 1]}, "polygon": SAR["polygon"]},
    },
    "/processes/echo/execution": {"inputs": {"echoInput": "a"}},
    f"/v2/models/{MODEL}/infer": {
        "id": "a",
        "parameters": {"sar": "{}", "max_tokens": 9},
        "inputs": [
            {"name": "image", "datatype": "BYTES", "shape": [1], "data": ["https://images.test/a.tif"]},
            {"name": "question", "datatype": "BYTES", "shape": [1], "data": ["How many ships?"], "parameters": {}},
        ],
        "outputs": [{"name": "text", "parameters": {}}],
    },
    "/v2/repository/index": {},
}


GETS = (
    "/v1/sar/picture?url=",
    "/v1/sar/picture?url=https://images.test/a.tif&polygon=",
    "/v1/sar/picture?url=https://images.test/a.tif&bands=",
    "/v1/sar/picture?url=https://images.test/a.tif&window=",
    "/v1/sar/surveys?limit=",
    "/v1/sar/surveys/",
    "/jobs?processID=",
    "/jobs?status=",
    "/jobs?datetime=",
    "/jobs/",
    "/processes/",
    "/collections/",
    "/collections/answers/items?bbox=",
    "/collections/answers/items?datetime=",
    "/collections/answers/items?job=",
    "/collections/answers/items/",
    "/v2/models/",
    "/v1/models?a=",
)
"""Paths that a text is added to."""
TEXTS = ("a," * 15_000, "1," * 15_000, "%41" * 10_000, "9" * 30_000, "[" * 30_000, "a&" * 15_000)


async def test_every_body_is_bounded() -> None:
    """No JSON value at a limit, in place of any part of a body, pauses the event loop for 50 ms or takes 512 MiB."""
    async with walk() as walked:
        for offset, (path, document) in enumerate(BODIES.items()):
            await walked.post(path, islice(with_value(document, VALUES), offset % STEP, None, STEP))
    assert walked.requests > 150


async def test_bodies_over_a_limit_are_bounded() -> None:
    """A body of 62 MiB of questions, objects, brackets, or a long URL pauses the event loop for 50 ms at most."""
    async with walk() as walked:
        for path, field_name in LARGE_FIELDS.items():
            slots = with_value({field_name: None}, LARGEST)
            await walked.post(path, ((name, body) for name, body in slots if name.startswith(field_name)))
    assert walked.requests == 6 * len(LARGE_FIELDS)


async def test_long_bodies_for_a_worker_are_bounded() -> None:
    """A video of 62 MiB is forwarded, changed, streamed and composed with an image in pieces or in a thread."""
    image = {"type": "image_url", "image_url": {"url": DATA_URL}}
    video = {"type": "video_url", "video_url": {"url": None}}
    named: dict[str, Any] = {"model": MODEL}
    async with walk() as walked:
        for fields, content in product((named, {"stream": True}, named | {"priority": 1}), ([video], [image, video])):
            chat = {"messages": [{"role": "user", "content": content}], **fields}
            await walked.post("/v1/chat/completions", video_bodies(chat))
    assert walked.requests == 6


def video_bodies(chat: dict[str, Any]) -> Iterator[tuple[str, bytes]]:
    """The body of a chat with a long URL in place of its null."""
    before, after = json.dumps(chat).encode().split(b"null")
    yield f"{list(chat)}", before + LARGEST["data"] + after


async def test_every_path_and_query_string_is_bounded() -> None:
    """The same holds for long lists, numbers and encoded texts in paths and query strings."""
    async with walk() as walked:
        for prefix, text in product(GETS, TEXTS):
            url = URL(walked.gateway.url + prefix + text, encoded=True)

            async def request(url: URL = url) -> int:
                async with walked.gateway.http.get(url) as response:
                    assert len(await response.read()) < MAX_ERROR_BYTES
                    return response.status

            await walked.check(f"GET {prefix}{text[:4]}", request)
