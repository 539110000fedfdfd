"""Boxes of questions and answers follow the picture: tasks and chats, over REST."""

from __future__ import annotations

import base64
import io
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import openai
import pytest
from PIL import Image

from sarlens.settings import Settings, WorkerSettings
from support.gateway import gateway
from support.workers.fake_worker import MODEL, FakeWorker, fake_worker

QUESTION = "What is the object present in the area [160, 100, 80, 40]?"
WINDOW = {"window": [100, 60, 200, 100], "size": 100}


def picture() -> str:
    """Return an image of 640 x 480 pixels as a data URL."""
    buffer = io.BytesIO()
    Image.radial_gradient("L").resize((640, 480)).save(buffer, "png")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


PICTURE = picture()


@pytest.fixture
async def worker() -> AsyncIterator[FakeWorker]:
    """A worker that answers with a box of the picture."""
    async with fake_worker() as started:
        started.says = lambda _: "ship [10, 20, 30, 15]"
        started.words = ("ship", " [1", "0, 20, 30", ", 15", "]")
        yield started


@pytest.fixture
async def url(worker: FakeWorker) -> AsyncIterator[str]:
    """A gateway whose pictures have 256 pixels."""
    async with gateway(Settings(worker=WorkerSettings(urls=(worker.url,)))) as base:
        yield base


async def ask(url: str, sar: dict[str, Any], question: str = QUESTION) -> tuple[int, dict[str, Any]]:
    """Ask a question about the image."""
    body = {"image": {"url": PICTURE, "sar": sar}, "questions": [question]}
    async with aiohttp.ClientSession() as session, session.post(f"{url}/v1/sar/vqa", json=body) as response:
        return response.status, await response.json()


def prompt(worker: FakeWorker) -> str:
    """Return the text that the worker got last."""
    return str(worker.requests[-1]["messages"][-1]["content"][-1]["text"])


@pytest.mark.parametrize(
    ("sar", "seen", "boxes"),
    [
        ({}, "[64.0, 40.0, 32.0, 16.0]", [[25.0, 50.0, 75.0, 37.5]]),
        ({"boxes": "image", "size": 640}, "[160.0, 100.0, 80.0, 40.0]", [[10, 20, 30, 15]]),
        (WINDOW, "[30.0, 20.0, 40.0, 20.0]", [[120, 100, 60, 30]]),
        ({**WINDOW, "window": [200, 60, 200, 100]}, "[0.0, 20.0, 20.0, 20.0]", [[220, 100, 60, 30]]),
        ({**WINDOW, "boxes": "picture"}, "[160, 100, 80, 40]", None),
    ],
)
async def test_questions_and_answers_of_tasks(
    url: str, worker: FakeWorker, sar: dict[str, Any], seen: str, boxes: Any
) -> None:
    """The model sees the box in its picture, clipped to the window; the answer has boxes in pixels of the image."""
    status, answer = await ask(url, sar)
    assert status == 200, answer
    assert seen in prompt(worker)
    (item,) = answer["data"]
    assert (item["question"], item["text"]) == (QUESTION, "ship [10, 20, 30, 15]")
    assert item["answer"].get("boxes") == boxes


async def test_a_box_outside_the_window_is_a_400(url: str, worker: FakeWorker) -> None:
    """The message has the box and the window, and no worker is asked."""
    status, answer = await ask(url, WINDOW, "What is in [0, 0, 100, 60]?")
    assert (status, answer["error"]["param"]) == (400, "questions")
    assert "[0, 0, 100, 60] is outside the window [100, 60, 200, 100]" in answer["error"]["message"]
    assert not worker.requests


@pytest.mark.parametrize("streams", [False, True])
async def test_chats_that_ask_for_it(url: str, worker: FakeWorker, streams: bool) -> None:
    """A chat with boxes of the image gets those of the image back, also in a stream; others are unchanged."""
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as sdk:
        for sar, seen, said in (
            ({**WINDOW, "boxes": "image"}, "[30.0, 20.0, 40.0, 20.0]", "ship [120, 100, 60, 30]"),
            (WINDOW, "[160, 100, 80, 40]", "ship [10, 20, 30, 15]"),
        ):
            content: Any = [
                {"type": "image_url", "image_url": {"url": PICTURE, "sar": sar}},
                {"type": "text", "text": QUESTION},
            ]
            messages: Any = [{"role": "user", "content": content}]
            if streams:
                stream = await sdk.chat.completions.create(model=MODEL, messages=messages, stream=True)
                parts = [chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]
                text: str | None = "".join(parts)
            else:
                text = (await sdk.chat.completions.create(model=MODEL, messages=messages)).choices[0].message.content
            assert seen in prompt(worker)
            assert (text or "").strip() == said
        content[0]["image_url"]["sar"] = {**WINDOW, "boxes": "image"}
        content[1]["text"] = "What is in [0, 0, 100, 60]?"
        with pytest.raises(openai.BadRequestError, match="outside the window"):
            await sdk.chat.completions.create(model=MODEL, messages=messages)


@pytest.mark.parametrize("streams", [False, True])
async def test_other_protocols_of_chats(url: str, worker: FakeWorker, streams: bool) -> None:
    """The Responses and the Messages API convert boxes as chats do."""
    sar = {**WINDOW, "boxes": "image"}
    part = {"type": "input_image", "image_url": PICTURE, "sar": sar}
    responses = {"input": [{"role": "user", "content": [part, {"type": "input_text", "text": QUESTION}]}]}
    source = {"type": "base64", "media_type": "image/png", "data": PICTURE.partition(",")[2]}
    image = {"type": "image", "source": source, "sar": sar}
    messages = {"max_tokens": 9, "messages": [{"role": "user", "content": [image, {"type": "text", "text": QUESTION}]}]}
    async with aiohttp.ClientSession() as session:
        for path, body in (("/v1/responses", responses), ("/v1/messages", messages)):
            async with session.post(url + path, json={"model": MODEL, "stream": streams, **body}) as response:
                answer = await response.text()
            assert response.status == 200, answer
            assert "[30.0, 20.0, 40.0, 20.0]" in prompt(worker)
            assert "[120, 100, 60, 30]" in answer
            assert "[10, 20, 30, 15]" not in answer
