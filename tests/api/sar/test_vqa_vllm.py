"""The tasks against real vLLM: the shipped nano, held to the forms of its answers."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest

from sarbench.simulate.chip import simulate_chip
from sarbench.simulate.dataset import ImageFormat
from sarbench.simulate.qa import QA
from sarbench.simulate.questions import generate_questions
from sarlens.prompts.answer_types import FREE_TEXT, answer_type_for
from sarlens.settings import Settings, WorkerSettings
from support.gateway import gateway

TYPES = {"boolean": bool, "integer": int, "class": str, "position": str, "text": str}


def scene(index: int, folder: Path) -> tuple[str, list[QA]]:
    """A simulated picture that nano has never seen, as a data URL, and questions with their true answers."""
    chip = simulate_chip(1, index, 256, "test")
    path = folder / f"{index}.png"
    ImageFormat.PNG.write(chip, path)
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}", generate_questions(
        chip.truth, np.random.default_rng(index)
    )


async def post(base: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Post a body and return the answer."""
    async with aiohttp.ClientSession() as session, session.post(base + path, json=body) as response:
        answer: dict[str, Any] = await response.json()
        assert response.status == 200, answer
        return answer


@pytest.mark.slow
async def test_real_answers_have_the_type_of_their_question(vllm_url: str, tmp_path: Path) -> None:
    """Each question of real vLLM is answered in its form, however hot the sampling, and rightly when it is cold."""
    right, types = [], set()
    async with gateway(Settings(worker=WorkerSettings(urls=(vllm_url,)))) as base:
        for index in range(6):
            image, asked = scene(index, tmp_path)
            body = {"image": image, "questions": [qa.question for qa in asked]}
            hot = await post(base, "/v1/sar/vqa", {**body, "temperature": 2.0, "seed": 1})
            cold = await post(base, "/v1/sar/vqa", body)
            for qa, item in zip([*asked, *asked], [*hot["data"], *cold["data"]], strict=True):
                answer, form = item["answer"], answer_type_for(qa.question, qa.application)
                types.add(answer["type"])
                assert isinstance(answer["value"], TYPES[answer["type"]]) or form == FREE_TEXT, item
                assert not form.choices or item["text"] in form.choices
            right += [
                item["answer"]["value"] == answer_type_for(qa.question, qa.application).parse(qa.answer)
                for qa, item in zip(asked, cold["data"], strict=True)
            ]
    assert types == TYPES.keys()
    assert len(right) > 30
    assert np.mean(right) > 0.85


@pytest.mark.slow
async def test_an_answer_at_the_limit_of_tokens_is_cut_off(vllm_url: str, tmp_path: Path) -> None:
    """Real vLLM ends an answer of free text with ``length`` after one token, and one with room with ``stop``."""
    image, _ = scene(0, tmp_path)
    body = {"image": image, "questions": [{"question": "What does the image show?", "application": "others"}]}
    async with gateway(Settings(worker=WorkerSettings(urls=(vllm_url,)))) as base:
        cut_off = (await post(base, "/v1/sar/vqa", {**body, "max_tokens": 1}))["data"][0]
        whole = (await post(base, "/v1/sar/vqa", body))["data"][0]
    assert (cut_off["finish_reason"], cut_off["answer"]["value"]) == ("length", None)
    assert (whole["finish_reason"], whole["answer"]["value"]) == ("stop", whole["text"])
    assert (whole["refusal"], whole["reasoning"]) == (None, None)


@pytest.mark.slow
async def test_captions_are_concise_or_complex(vllm_url: str, tmp_path: Path) -> None:
    """Real vLLM describes a picture in one sentence, or in more words."""
    image, _ = scene(0, tmp_path)
    async with gateway(Settings(worker=WorkerSettings(urls=(vllm_url,)))) as base:
        concise = await post(base, "/v1/sar/captions", {"image": image})
        complex_ = await post(base, "/v1/sar/captions", {"image": image, "style": "complex"})
    assert concise["answer"]["type"] == "text"
    assert 0 < len(concise["text"]) < len(complex_["text"])
