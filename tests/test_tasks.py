"""Questions and captions as tasks: one image, many questions, answers that have a type."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import re
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sarlens.errors import BadRequest
from sarlens.ingress.bodies import CaptionBody, VqaBody, parse_body
from sarlens.prompts.applications import CAPTION_PROMPT, CATEGORIES_PREFIX, DETAIL_PROMPT, Application
from sarlens.settings import LimitSettings, Settings, WorkerSettings
from stack.fake_worker import MODEL, FakeWorker
from stack.gateway import gateway

VQA, CAPTIONS = "/v1/sar/vqa", "/v1/sar/captions"
NDJSON = {"Accept": "application/x-ndjson"}


def picture() -> str:
    """A small picture as a data URL."""
    buffer = io.BytesIO()
    Image.radial_gradient("L").resize((64, 48)).save(buffer, "png")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


PICTURE = picture()
ANSWERS = {
    "Are there any ships in the image?": ("Yes", {"type": "boolean", "value": True}),
    "How many ships are in the image?": ("3", {"type": "integer", "value": 3}),
    "Where are most ships positioned within the image?": ("top", {"type": "position", "value": "top"}),
    "What is the object present in the area [1.0, 2.0, 3.0, 4.0]?": ("ship", {"type": "class", "value": "ship"}),
    "What type of area is mostly visible?": ("Open sea", {"type": "text", "value": "Open sea"}),
    "How many tanks are there?": ("a few", {"type": "integer", "value": None}),
}


def prompt_of(asked: dict[str, Any]) -> str:
    """The text part of a chat, which comes after its image."""
    image, text = asked["messages"][0]["content"]
    assert image["type"] == "image_url"
    return str(text["text"])


def oracle(asked: dict[str, Any]) -> str:
    """The answer to the question in a chat; none to a question that nobody knows."""
    prompt = prompt_of(asked)
    return next((text for question, (text, _) in ANSWERS.items() if question in prompt), "")


async def post(
    base: str, body: Any, path: str = VQA, headers: dict[str, str] | None = None
) -> tuple[int, dict[str, Any]]:
    """Post a body and return status and answer."""
    async with aiohttp.ClientSession() as session, session.post(base + path, json=body, headers=headers) as response:
        return response.status, await response.json()


async def lines(base: str, body: Any) -> list[tuple[float, dict[str, Any]]]:
    """Post a body and return the lines of the answer, each with the time at which it came."""
    loop = asyncio.get_running_loop()
    async with aiohttp.ClientSession() as session, session.post(base + VQA, json=body, headers=NDJSON) as response:
        assert response.status == 200, await response.text()
        assert response.content_type == "application/x-ndjson"
        return [(loop.time(), json.loads(line)) async for line in response.content]


def vqa(*questions: Any, **more: Any) -> dict[str, Any]:
    """A body with these questions about the picture."""
    return {"image": PICTURE, "questions": list(questions), **more}


async def test_every_question_gets_its_typed_answer(url: str, worker: FakeWorker) -> None:
    """Questions of every form come back in their order, each as text and as a value of its type."""
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
    assert item["usage"]["completion_tokens"] == 4
    assert 0 < item["timings"]["answer_ms"] <= item["timings"]["total_ms"]
    assert "id" not in item


async def test_workers_are_held_to_the_form(url: str, worker: FakeWorker) -> None:
    """The worker gets the paper's words after the image, and a constraint exactly where the form is known."""
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
    """A caller may name a question, and say of what application it is; both come back."""
    worker.says = lambda _: "No"
    question = {"question": "Ships?", "application": "object_identification", "id": "q-1"}
    _, answer = await post(url, vqa(question, model=MODEL))
    (item,) = answer["data"]
    assert (item["id"], item["application"]) == ("q-1", "object_identification")
    assert item["answer"] == {"type": "boolean", "value": False}


async def test_each_line_comes_when_it_is_ready(url: str, worker: FakeWorker) -> None:
    """As NDJSON a quick answer does not wait for a slow one, once the worker has the picture."""
    worker.says = oracle
    await post(url, vqa("Are there any ships in the image?"))
    worker.slow = "How many"
    first, last = await lines(url, vqa("How many ships are in the image?", "Are there any ships in the image?"))
    assert (first[1]["index"], last[1]["index"]) == (1, 0)
    assert last[0] - first[0] > 0.2
    assert last[1]["answer"] == {"type": "integer", "value": 3}


async def test_one_failure_leaves_the_others_alone(url: str, worker: FakeWorker) -> None:
    """A question that a worker refuses holds the error, in JSON and in a line; the others are answered."""
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
async def test_what_fails_alike_everywhere_is_the_answer(url: str, worker: FakeWorker, headers: dict[str, str]) -> None:
    """Where every question fails in the same way, that error with its status answers the request."""
    worker.says = lambda _: ""
    status, answer = await post(url, vqa("Any cows?", "Any sheep?"), headers=headers)
    assert (status, answer["error"]["message"]) == (400, "This cannot be answered.")
    worker.fails_with = (500, '{"error": {"message": "out of memory"}}')
    status, answer = await post(url, vqa("Any cows?", "Any sheep?"), headers=headers)
    assert (status, answer["error"]["code"]) == (502, "worker_failed")


@pytest.mark.parametrize("headers", [{}, NDJSON])
async def test_a_bad_image_fails_before_any_question(url: str, worker: FakeWorker, headers: dict[str, str]) -> None:
    """An image that cannot be had is one error, and no worker hears of it."""
    status, answer = await post(url, {"image": "data:,hello", "questions": ["Ships?"] * 5}, headers=headers)
    assert (status, answer["error"]["code"]) == (400, "unsupported_image")
    assert not worker.bodies


async def test_a_window_is_cut_and_told(url: str, worker: FakeWorker) -> None:
    """The window and the rendering that were asked for stand in the answer."""
    image = {"url": PICTURE, "sar": {"window": [8, 8, 32, 16], "preset": "plain"}}
    _, answer = await post(url, {"image": image, "questions": ["How many ships?"]})
    shown = answer["data"][0]["image"]
    assert (shown["window"], shown["render"]["filter"]) == ([8, 8, 32, 16], "none")
    sent = worker.requests[-1]["messages"][0]["content"][0]["image_url"]["url"]
    assert Image.open(io.BytesIO(base64.b64decode(sent.split(",")[1]))).size == (32, 16)


@pytest.mark.parametrize(("style", "prompt"), [(None, CAPTION_PROMPT), ("complex", DETAIL_PROMPT)])
async def test_captions_come_in_two_styles(url: str, worker: FakeWorker, style: str | None, prompt: str) -> None:
    """A caption is one item; the concise style is the paper's prompt, and neither is constrained."""
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
        (vqa(""), "questions.0.question"),
        (vqa("ok?", "x" * 2001), "questions.1.question"),
        (vqa(*["Ships?"] * 65), "questions"),
        (vqa({"question": "Ships?", "application": "weather"}), "questions.0.application"),
        (vqa({"question": "Ships?", "kind": 1}), "questions.0.kind"),
        (vqa(5), "questions.0"),
        (vqa("Ships?", colour="red"), "colour"),
        (vqa("Ships?", max_tokens=0), "max_tokens"),
        (vqa("Ships?", temperature=-1), "temperature"),
        (vqa("Ships?", seed=2**64), "seed"),
        (vqa("Ships?", image=""), "image.url"),
        (vqa("Ships?", image={"url": PICTURE, "sar": {"filter": "median"}}), "image.sar.filter"),
        (vqa("Ships?", image={"url": PICTURE, "sar": {"stretch": [98, 2]}}), "image.sar"),
    ],
)
async def test_bad_bodies_are_refused(url: str, worker: FakeWorker, body: Any, field: str | None) -> None:
    """What is wrong is named, and no worker hears of it."""
    status, answer = await post(url, body)
    assert (status, answer["error"]["code"], answer["error"]["param"]) == (400, "bad_request", field)
    assert not worker.bodies


async def test_a_model_that_nobody_serves_is_not_found(url: str) -> None:
    """The model is looked for before the image."""
    status, answer = await post(url, vqa("Ships?", model="gpt-5", image="s3://nowhere/x.tif"))
    assert (status, answer["error"]["code"]) == (404, "model_not_found")


async def test_a_body_over_the_limit_is_refused(worker: FakeWorker) -> None:
    """Both routes read no more than the limit allows."""
    settings = Settings(worker=WorkerSettings(urls=(worker.url,)), limit=LimitSettings(body_bytes=1000))
    async with gateway(settings) as url:
        for path in (VQA, CAPTIONS):
            status, answer = await post(url, {"image": "x" * 1001}, path)
            assert (status, answer["error"]["code"]) == (413, "too_large")


@pytest.mark.parametrize("headers", [{}, NDJSON])
async def test_a_caller_who_leaves_ends_all_generations(url: str, worker: FakeWorker, headers: dict[str, str]) -> None:
    """When the caller goes away, nothing is generated any more."""
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
    """The OpenAPI document holds both routes, and every schema that they refer to."""
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
def test_no_json_breaks_the_bodies(document: Any, kind: type[VqaBody | CaptionBody]) -> None:
    """Whatever JSON comes, it is a body with tasks or refused with a reason."""
    try:
        body = parse_body(kind, json.dumps(document).encode())
    except BadRequest as error:
        assert error.message
    else:
        assert all(task.prompt and task.application in Application for task in body.assignment.tasks)


@given(st.binary(), st.sampled_from([VqaBody, CaptionBody]))
def test_no_bytes_break_the_bodies(data: bytes, kind: type[VqaBody | CaptionBody]) -> None:
    """Whatever bytes come, they are a body or refused with a reason."""
    try:
        parse_body(kind, data)
    except BadRequest as error:
        assert error.message
