"""Tasks over REST: questions and captions about one image, with typed answers."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import re
from typing import Any

import aiohttp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from rasterio.transform import Affine

from sarlens.api.common.schemas import CaptionBody, VqaBody, parse_body
from sarlens.errors import BadRequest
from sarlens.prompts.applications import CAPTION_PROMPT, CATEGORIES_PREFIX, DETAIL_PROMPT, Application
from sarlens.settings import AdmissionSettings, LimitSettings, Settings, WorkerSettings
from support.gateway import gateway
from support.georeferenced_scenes import AFFINE, geotiff, sea
from support.workers.chat_replies import completion
from support.workers.fake_worker import MODEL, FakeWorker

VQA, CAPTIONS = "/v1/sar/vqa", "/v1/sar/captions"
NDJSON = {"Accept": "application/x-ndjson"}


def picture() -> str:
    """Return a small image as a data URL."""
    buffer = io.BytesIO()
    Image.radial_gradient("L").resize((64, 48)).save(buffer, "png")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


PICTURE = picture()
POSITION = {"type": "position", "value": "top", "position": "top", "position_on_map": None}
ANSWERS = {
    "Are there any ships in the image?": ("Yes", {"type": "boolean", "value": True}),
    "How many ships are in the image?": ("3", {"type": "integer", "value": 3}),
    "Where are most ships positioned within the image?": ("top", POSITION),
    "What is the object present in the area [1.0, 2.0, 3.0, 4.0]?": ("ship", {"type": "class", "value": "ship"}),
    "What type of area is mostly visible?": ("Open sea", {"type": "text", "value": "Open sea"}),
    "How many tanks are there?": ("a few", {"type": "integer", "value": None}),
}


def prompt_of(asked: dict[str, Any]) -> str:
    """Return the text part of a chat, which follows its image."""
    image, text = asked["messages"][0]["content"]
    assert image["type"] == "image_url"
    return str(text["text"])


def oracle(asked: dict[str, Any]) -> str:
    """Return the answer to the question in a chat, or an empty text for an unknown question."""
    prompt = prompt_of(asked)
    return next((text for question, (text, _) in ANSWERS.items() if question in prompt), "")


async def post(
    base: str, body: Any, path: str = VQA, headers: dict[str, str] | None = None
) -> tuple[int, dict[str, Any]]:
    """Post a body; return the status and the response."""
    async with aiohttp.ClientSession() as session, session.post(base + path, json=body, headers=headers) as response:
        return response.status, await response.json()


async def lines(base: str, body: Any) -> list[tuple[float, dict[str, Any]]]:
    """Post a body; return the lines of the response with their times of arrival."""
    loop = asyncio.get_running_loop()
    async with aiohttp.ClientSession() as session, session.post(base + VQA, json=body, headers=NDJSON) as response:
        assert response.status == 200, await response.text()
        assert response.content_type == "application/x-ndjson"
        return [(loop.time(), json.loads(line)) async for line in response.content]


def vqa(*questions: Any, **more: Any) -> dict[str, Any]:
    """Return a body with these questions about the image."""
    return {"image": PICTURE, "questions": list(questions), **more}


async def test_every_question_gets_its_typed_answer(url: str, worker: FakeWorker) -> None:
    """Answers follow the order of the questions, each with its text and a value of its type."""
    worker.says = oracle
    status, answer = await post(url, vqa(*ANSWERS))
    assert status == 200, answer
    assert answer["object"] == "list"
    assert [item["index"] for item in answer["data"]] == list(range(len(ANSWERS)))
    assert [(item["text"], item["answer"]) for item in answer["data"]] == list(ANSWERS.values())
    item = answer["data"][1]
    assert (item["question"], item["application"], item["model"]) == (list(ANSWERS)[1], "instance_counting", MODEL)
    assert re.fullmatch("[0-9a-f]{64}", item["image"]["id"])
    assert item["image"]["window"] is None
    assert (item["image"]["render"]["filter"], item["image"]["render"]["size"]) == ("refined_lee", 256)
    assert item["usage"] == {"prompt_tokens": 70, "completion_tokens": 1, "total_tokens": 71}
    assert 0 < item["timings"]["answer_ms"] <= item["timings"]["total_ms"]
    assert "id" not in item


@pytest.mark.parametrize(("window", "targets"), [(None, 2), ([0, 0, 128, 128], 1)])
async def test_a_second_opinion_is_given_on_request(
    url: str, worker: FakeWorker, window: list[int] | None, targets: int
) -> None:
    """The detector finds both ships of a scene, and one in a quarter of it; each answer agrees with that or not."""
    worker.says = oracle
    tiff = geotiff(sea(256, 256, np.array([(60, 60), (200, 180)])))
    image = {"url": f"data:image/tiff;base64,{base64.b64encode(tiff).decode()}", "sar": {"window": window}}
    body = {"image": image, "questions": list(ANSWERS)[:3], "second_opinion": "cfar"}
    status, answer = await post(url, body)
    assert status == 200, answer
    assert [item["cfar"] for item in answer["data"]] == [
        {"targets": targets, "agrees": True},  # Yes
        {"targets": targets, "agrees": False},  # 3
        {"targets": targets, "agrees": None},  # top
    ]
    _, faint = await post(url, body | {"cfar": {"min_pixels": 200}})
    assert faint["data"][0]["cfar"] == {"targets": 0, "agrees": False}
    _, of_picture = await post(url, vqa(next(iter(ANSWERS)), second_opinion="cfar"))
    assert of_picture["data"][0]["cfar"] == {"targets": None, "agrees": None}
    _, without = await post(url, vqa(next(iter(ANSWERS))))
    assert "cfar" not in without["data"][0]


@pytest.mark.parametrize(("sar", "on_map"), [({}, "bottom"), ({"orient": "north"}, "top")])
async def test_a_position_is_also_given_on_the_map(
    url: str, worker: FakeWorker, sar: dict[str, str], on_map: str
) -> None:
    """The first row of the image is in the south: the picture's top is the map's bottom, unless north is up in it."""
    worker.says = oracle
    pixels = np.full((40, 30), 100, np.uint16)
    pixels[:8] = 900
    tiff = geotiff(pixels, transform=AFFINE @ Affine.scale(1, -1), blockxsize=16, blockysize=16)
    image = {"url": f"data:image/tiff;base64,{base64.b64encode(tiff).decode()}", "sar": sar}
    status, answer = await post(url, {"image": image, "questions": [list(ANSWERS)[2]]})
    assert (status, answer["data"][0]["answer"]) == (200, POSITION | {"position_on_map": on_map})
    data = worker.requests[-1]["messages"][0]["content"][0]["image_url"]["url"].partition(",")[2]
    rows = np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))).mean(axis=1)
    assert (rows.argmax() < 8) == (sar == {})


async def test_workers_get_structured_output_constraints(url: str, worker: FakeWorker) -> None:
    """The worker gets the paper's prompt after the image, and a constraint exactly if the answer type has one."""
    await post(url, vqa(*list(ANSWERS)[:5], max_tokens=9, temperature=0.5, seed=7))
    asked = {prompt_of(body): body for body in worker.requests}
    constraints = [
        {"choice": ["Yes", "No"]},
        {"regex": "(0|[1-9][0-9]{0,3})"},
        {"choice": ["top", "center", "bottom", "left", "right"]},
        {"choice": ["tank", "car", "aircraft", "harbor", "bridge", "ship"]},
        None,
    ]
    for question, constraint in zip(ANSWERS, constraints, strict=False):
        prompt = next(prompt for prompt in asked if question in prompt)
        assert prompt.endswith(f"{question}. Answer the question concisely.")
        assert asked[prompt].get("structured_outputs") == constraint
        assert (asked[prompt]["max_tokens"], asked[prompt]["temperature"], asked[prompt]["seed"]) == (9, 0.5, 7)
    assert sum(CATEGORIES_PREFIX in prompt for prompt in asked) == 1
    assert len({body["messages"][0]["content"][0]["uuid"] for body in worker.requests}) == 1


async def test_a_question_has_an_id_and_an_application(url: str, worker: FakeWorker) -> None:
    """The id and the application of a question return with its answer."""
    worker.says = lambda _: "No"
    question = {"question": "Ships?", "application": "object_identification", "id": "q-1"}
    _, answer = await post(url, vqa(question, model=MODEL))
    (item,) = answer["data"]
    assert (item["id"], item["application"]) == ("q-1", "object_identification")
    assert item["answer"] == {"type": "boolean", "value": False}


async def test_each_line_is_sent_when_it_is_ready(url: str, worker: FakeWorker) -> None:
    """In NDJSON a fast answer doesn't wait for a slow one, once the worker holds the image."""
    worker.says = oracle
    await post(url, vqa("Are there any ships in the image?"))
    worker.slow = "How many"
    first, last = await lines(url, vqa("How many ships are in the image?", "Are there any ships in the image?"))
    assert (first[1]["index"], last[1]["index"]) == (1, 0)
    assert last[0] - first[0] > 0.2
    assert last[1]["answer"] == {"type": "integer", "value": 3}


async def test_one_failure_does_not_affect_the_others(url: str, worker: FakeWorker) -> None:
    """A question that the worker rejects has an error, in JSON and in NDJSON; the others have answers."""
    worker.says = oracle
    body = vqa("Are there any cows?", *list(ANSWERS)[:2])
    status, answer = await post(url, body)
    for items in (answer["data"], [item for _, item in sorted(await lines(url, body), key=lambda x: x[1]["index"])]):
        assert status == 200
        assert items[0]["error"]["message"] == "This cannot be answered."
        assert items[0]["error"]["code"] == "bad_request"
        assert "text" not in items[0]
        assert [item["answer"]["value"] for item in items[1:]] == [True, 3]


@pytest.mark.parametrize("headers", [{}, NDJSON])
async def test_a_failure_shared_by_all_questions_is_the_response(
    url: str, worker: FakeWorker, headers: dict[str, str]
) -> None:
    """If every question fails with the same error, that error and its status are the response."""
    worker.says = lambda _: ""
    status, answer = await post(url, vqa("Any cows?", "Any sheep?"), headers=headers)
    assert (status, answer["error"]["message"]) == (400, "This cannot be answered.")
    worker.fails_with = (500, '{"error": {"message": "out of memory"}}')
    status, answer = await post(url, vqa("Any cows?", "Any sheep?"), headers=headers)
    assert (status, answer["error"]["code"]) == (502, "worker_failed")


@pytest.mark.parametrize("headers", [{}, NDJSON])
async def test_a_bad_image_fails_before_any_question(url: str, worker: FakeWorker, headers: dict[str, str]) -> None:
    """An unreadable image is one error, and no worker gets a request."""
    status, answer = await post(url, {"image": "data:,hello", "questions": ["Ships?"] * 5}, headers=headers)
    assert (status, answer["error"]["code"]) == (400, "unsupported_image")
    assert not worker.bodies


async def test_the_window_and_rendering_are_in_the_response(url: str, worker: FakeWorker) -> None:
    """The response holds the requested window and render parameters."""
    image = {"url": PICTURE, "sar": {"window": [8, 8, 32, 16], "preset": "plain"}}
    _, answer = await post(url, {"image": image, "questions": ["How many ships?"]})
    shown = answer["data"][0]["image"]
    assert (shown["window"], shown["render"]["filter"]) == ([8, 8, 32, 16], "none")
    sent = worker.requests[-1]["messages"][0]["content"][0]["image_url"]["url"]
    assert Image.open(io.BytesIO(base64.b64decode(sent.split(",")[1]))).size == (32, 16)


@pytest.mark.parametrize(("style", "prompt"), [(None, CAPTION_PROMPT), ("complex", DETAIL_PROMPT)])
async def test_captions_have_two_styles(url: str, worker: FakeWorker, style: str | None, prompt: str) -> None:
    """A caption is one result; the concise style uses the paper's prompt, and neither style has a constraint."""
    status, item = await post(url, {"image": PICTURE} | ({"style": style} if style else {}), CAPTIONS)
    assert status == 200, item
    assert prompt_of(worker.requests[-1]) == prompt
    assert "structured_outputs" not in worker.requests[-1]
    assert (item["index"], item["application"]) == (0, "image_description")
    assert item["answer"] == {"type": "text", "value": "There are 3 ships."}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ([], None),
        ({"image": PICTURE}, "questions"),
        (vqa(), "questions"),
        (vqa(""), "questions.0"),
        (vqa("ok?", "x" * 2001), "questions.1"),
        (vqa(*["Ships?"] * 65), "questions"),
        (vqa({"question": "Ships?", "application": "weather"}), "questions.0.application"),
        (vqa({"question": "Ships?", "kind": 1}), "questions.0.kind"),
        (vqa(5), "questions.0"),
        (vqa("Ships?", colour="red"), "colour"),
        (vqa("Ships?", max_tokens=0), "max_tokens"),
        (vqa("Ships?", temperature=-1), "temperature"),
        (vqa("Ships?", seed=2**64), "seed"),
        (vqa("Ships?", image=""), "image"),
        (vqa("Ships?", image={"url": PICTURE, "sar": {"filter": "median"}}), "image.sar.filter"),
        (vqa("Ships?", image={"url": PICTURE, "sar": {"stretch": [98, 2]}}), "image.sar"),
    ],
)
async def test_invalid_bodies_are_rejected(url: str, worker: FakeWorker, body: Any, field: str | None) -> None:
    """The error names the invalid field, and no worker gets a request."""
    status, answer = await post(url, body)
    assert (status, answer["error"]["code"], answer["error"]["param"]) == (400, "bad_request", field)
    assert not worker.bodies


async def test_an_unknown_model_is_not_found(url: str) -> None:
    """The gateway checks the model before the image."""
    status, answer = await post(url, vqa("Ships?", model="gpt-5", image="s3://nowhere/x.tif"))
    assert (status, answer["error"]["code"]) == (404, "model_not_found")


async def test_a_body_above_the_limit_is_rejected(worker: FakeWorker) -> None:
    """Both routes read no more bytes than the limit."""
    settings = Settings(worker=WorkerSettings(urls=(worker.url,)), limit=LimitSettings(max_body_bytes=1000))
    async with gateway(settings) as url:
        for path in (VQA, CAPTIONS):
            status, answer = await post(url, {"image": "x" * 1001}, path)
            assert (status, answer["error"]["code"]) == (413, "too_large")


@pytest.mark.parametrize("headers", [{}, NDJSON])
async def test_a_disconnect_aborts_all_generations(url: str, worker: FakeWorker, headers: dict[str, str]) -> None:
    """After a disconnect no worker generates any more."""
    worker.pause_s = 20.0
    asking = asyncio.create_task(post(url, vqa("Ships?", "Cars?", "Tanks?"), headers=headers))
    async with asyncio.timeout(30):
        while not worker.running:
            await asyncio.sleep(0.01)
    asking.cancel()
    async with asyncio.timeout(30):
        while worker.running:
            await asyncio.sleep(0.01)
    assert worker.aborted >= 1


async def test_the_bodies_are_documented(url: str) -> None:
    """The OpenAPI document holds both routes and every schema that they reference."""
    async with aiohttp.ClientSession() as session, session.get(f"{url}/openapi.json") as response:
        page = await response.json()
    assert {VQA, CAPTIONS} <= page["paths"].keys()
    named = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(page)))
    assert named <= page["components"]["schemas"].keys()


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["question", "application", "url", "sar"]), inner),
)
FIELDS = st.sampled_from(["model", "image", "questions", "max_tokens", "temperature", "seed", "style"])


@given(st.dictionaries(FIELDS, JSON), st.sampled_from([VqaBody, CaptionBody]))
def test_any_json_is_a_body_or_rejected(document: Any, kind: type[VqaBody | CaptionBody]) -> None:
    """Any JSON is either a body with tasks or rejected with a reason."""
    try:
        body = parse_body(kind, json.dumps(document).encode())
    except BadRequest as error:
        assert error.message
    else:
        assert all(task.prompt and task.application in Application for task in body.to_task_request.tasks)


@given(st.binary(), st.sampled_from([VqaBody, CaptionBody]))
def test_any_bytes_are_a_body_or_rejected(data: bytes, kind: type[VqaBody | CaptionBody]) -> None:
    """Any bytes are either a body or rejected with a reason."""
    try:
        parse_body(kind, data)
    except BadRequest as error:
        assert error.message


@pytest.mark.parametrize(("path", "more"), [("vqa", {"questions": ["How many ships?"]}), ("captions", {})])
async def test_a_body_counts_until_its_answer(worker: FakeWorker, path: str, more: dict[str, Any]) -> None:
    """While a worker works on a request of 600 kB, its body is in the memory of 1 MB, so that a second one is 503."""
    worker.hangs = True
    settings = Settings(
        worker=WorkerSettings(urls=(worker.url,)),
        limit=LimitSettings(max_body_bytes=600_000),
        admission=AdmissionSettings(max_body_bytes=1_000_000, max_client_body_ratio=1.0),
    )
    content = json.dumps({"image": PICTURE, **more}).encode().ljust(600_000)
    async with gateway(settings) as url, aiohttp.ClientSession() as http:

        async def ask() -> int:
            async with http.post(f"{url}/v1/sar/{path}", data=content) as response:
                return response.status

        first = asyncio.create_task(ask())
        async with asyncio.timeout(30):
            while not worker.running:
                await asyncio.sleep(0.01)
            assert await ask() == 503
        worker.hangs = False
        assert [await first, await ask()] == [200, 200]


@pytest.mark.parametrize(
    ("message", "finish_reason", "expected"),
    [
        ({"content": "12"}, "stop", ("12", 12, "stop", None, None)),
        ({"content": "12"}, "length", ("12", None, "length", None, None)),
        ({"content": None, "refusal": "No."}, "stop", ("", None, "stop", "No.", None)),
        ({"content": None}, "stop", ("", None, "stop", None, None)),
        ({"content": "12", "reasoning": "Is it 4?"}, "stop", ("12", 12, "stop", None, "Is it 4?")),
        ({"content": "<think>Is it 4?</think>12"}, "stop", ("12", 12, "stop", None, "Is it 4?")),
        ({"content": "<think>Is it 4"}, "length", ("", None, "length", None, "Is it 4")),
    ],
)
async def test_an_answer_says_how_it_ended(
    url: str, worker: FakeWorker, message: dict[str, Any], finish_reason: str, expected: tuple[Any, ...]
) -> None:
    """Refused, cut-off and empty answers differ, have no value, and no reasoning is in the text."""
    worker.fails_with = completion(message, finish_reason)
    status, answer = await post(url, vqa("How many ships are in the image?"))
    assert status == 200, answer
    (item,) = answer["data"]
    names = ("finish_reason", "refusal", "reasoning")
    assert (item["text"], item["answer"]["value"], *[item[name] for name in names]) == expected
    status, caption = await post(url, {"image": PICTURE}, CAPTIONS)
    assert (status, caption["finish_reason"], caption["text"]) == (200, finish_reason, expected[0])
    assert caption["answer"]["value"] == (None if expected[1] is None else expected[0])
