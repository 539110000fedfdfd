"""Each profile of the package, from a question about a box to the boxes of the answer."""

from __future__ import annotations

import base64
import io
from typing import Any

import aiohttp
import pytest
from PIL import Image

from sarlens.settings import Settings, WorkerSettings
from support.gateway import gateway
from support.workers.fake_worker import fake_worker

CHIP = 1024
BOX = "What is the object present in the area [256, 128, 128, 64]?"
CLASSES = "The classes are: tank, car, aircraft, harbor, bridge, ship."
CONCISE = "Question: {}. Answer the question concisely."


def chip() -> str:
    """Return an 8-bit chip as a data URL."""
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize((CHIP, CHIP)).save(buffer, "png")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def region(box: str) -> str:
    """Return the paper's prompt about a box."""
    return CONCISE.format(f"{CLASSES} What is the object present in the area {box}?")


async def ask(url: str, model: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Ask about a box and a number; return both items."""
    questions = [BOX, "How many ships are in the image?"]
    body = {"model": model, "image": chip(), "questions": questions}
    async with aiohttp.ClientSession() as session, session.post(f"{url}/v1/sar/vqa", json=body) as response:
        assert response.status == 200, await response.text()
        one, two = (await response.json())["data"]
        return one, two


@pytest.mark.parametrize(
    ("model", "size", "prompt", "count", "says"),
    [
        ("sarlens-nano", 256, region("[64.0, 32.0, 32.0, 16.0]"), CONCISE, "[64.0, 32.0, 32.0, 16.0]"),
        ("sarlang-1m-llava", 512, region("[128.0, 64.0, 64.0, 32.0]"), CONCISE, "[128, 64, 64, 32]"),
        (
            "SARChat-InternVL",
            512,
            "[identify] What is the object present in the area {<25><13><38><19>}?",
            "[count] {}",
            "ship {<25><13><38><19>}",
        ),
        (
            "Qwen/Qwen2.5-VL-7B-Instruct",
            896,
            (
                f"{CLASSES} What is the object present in the area [224, 112, 336, 168]? The area is [left, top, "
                "right, bottom] in pixels. Answer the question concisely."
            ),
            CONCISE,
            '```json\n[{"bbox_2d": [224, 112, 336, 168], "label": "ship"}]\n```',
        ),
        (
            "Qwen/Qwen3-VL-8B-Instruct",
            896,
            (
                f"{CLASSES} What is the object present in the area [250, 125, 375, 188]? The area is [left, top, "
                "right, bottom] in thousandths of the image. Answer the question concisely."
            ),
            CONCISE,
            '[{"bbox_2d": [250, 125, 375, 188], "label": "ship"}]',
        ),
        (
            "OpenGVLab/InternVL3-8B",
            896,
            region("<box>[[250, 125, 375, 188]]</box>"),
            CONCISE,
            "<ref>ship</ref><box>[[250, 125, 375, 188]]</box>",
        ),
        ("some-model", 448, region("[112, 56, 56, 28]"), CONCISE, "[112, 56, 56, 28]"),
    ],
)
async def test_a_question_in_the_words_of_the_model(model: str, size: int, prompt: str, count: str, says: str) -> None:
    """The picture has the model's size, the box its convention, and the answer's box comes back to the image."""
    async with fake_worker(model=model) as worker, gateway(Settings(worker=WorkerSettings(urls=(worker.url,)))) as url:
        worker.says = lambda _: says
        boxed, counted = await ask(url, model)
    texts = {body["messages"][-1]["content"][-1]["text"] for body in worker.requests}
    assert texts == {prompt, count.format("How many ships are in the image?")}
    pictures = [body["messages"][-1]["content"][0]["image_url"] for body in worker.requests]
    (data,) = {picture["url"] for picture in pictures if picture}
    assert Image.open(io.BytesIO(base64.b64decode(data.partition(",")[2]))).size == (size, size)
    assert boxed["question"] == BOX
    tolerance = 10.3 if model.startswith("SARChat") else 1
    assert boxed["answer"]["boxes"] == [pytest.approx([256, 128, 128, 64], abs=tolerance)]
    assert counted["answer"]["type"] == "integer"
