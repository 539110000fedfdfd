"""One chat about an image in every protocol for chats, against real vLLM."""

from __future__ import annotations

import base64
import io
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import anthropic
import openai
import pytest
from PIL import Image

from sarlens.prompts.applications import QUESTION_PROMPT
from sarlens.settings import Settings, WorkerSettings
from support.gateway import gateway, until_ready

MODEL = "sarlens-nano"
PROMPT = QUESTION_PROMPT.format(question="How many ships are in the image?")


@dataclass(frozen=True)
class Answer:
    """The answer to a chat in every protocol."""

    text: str
    prompt_tokens: int
    completion_tokens: int


@pytest.fixture
async def url(vllm_url: str) -> AsyncIterator[str]:
    """Start a gateway in front of the worker; return its base URL."""
    async with gateway(Settings(worker=WorkerSettings(urls=(vllm_url,)))) as base:
        await until_ready(base, 1)
        yield base


def image() -> str:
    """A dark picture with a bright square, as base64."""
    picture = Image.new("L", (256, 256), 20)
    picture.paste(250, (100, 100, 140, 120))
    buffer = io.BytesIO()
    picture.save(buffer, "png")
    return base64.b64encode(buffer.getvalue()).decode()


async def over_chat(url: str, data: str) -> Answer:
    """``POST /v1/chat/completions``."""
    content: Any = [
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}},
        {"type": "text", "text": PROMPT},
    ]
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none") as sdk:
        answer = await sdk.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": content}])
    assert answer.usage is not None
    return Answer(answer.choices[0].message.content or "", answer.usage.prompt_tokens, answer.usage.completion_tokens)


async def over_responses(url: str, data: str, *, streams: bool) -> Answer:
    """``POST /v1/responses``."""
    part = {"type": "input_image", "image_url": f"data:image/png;base64,{data}", "detail": "auto"}
    items: Any = [{"role": "user", "content": [part, {"type": "input_text", "text": PROMPT}]}]
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none") as sdk:
        if streams:
            async with sdk.responses.stream(model=MODEL, input=items) as events:
                response: Any = await events.get_final_response()
        else:
            response = await sdk.responses.create(model=MODEL, input=items)
    return Answer(response.output_text, response.usage.input_tokens, response.usage.output_tokens)


async def over_messages(url: str, data: str, *, streams: bool) -> Answer:
    """``POST /v1/messages``."""
    source = {"type": "base64", "media_type": "image/png", "data": data}
    content = [{"type": "image", "source": source}, {"type": "text", "text": PROMPT}]
    messages: Any = [{"role": "user", "content": content}]
    async with anthropic.AsyncAnthropic(base_url=url, api_key="none") as sdk:
        if streams:
            async with sdk.messages.stream(model=MODEL, max_tokens=16, messages=messages) as events:
                message: Any = await events.get_final_message()
        else:
            message = await sdk.messages.create(model=MODEL, max_tokens=16, messages=messages)
    usage = message.usage
    return Answer(message.content[0].text, usage.input_tokens + usage.cache_read_input_tokens, usage.output_tokens)


async def test_a_count_of_tokens_is_that_of_the_message(url: str) -> None:
    """``count_tokens`` states the input tokens that a message about an image then has, cached ones included."""
    data = image()
    source: Any = {"type": "base64", "media_type": "image/png", "data": data}
    content: Any = [{"type": "image", "source": source}, {"type": "text", "text": PROMPT}]
    async with anthropic.AsyncAnthropic(base_url=url, api_key="none") as sdk:
        counted = await sdk.messages.count_tokens(model=MODEL, messages=[{"role": "user", "content": content}])
    assert counted.input_tokens == (await over_messages(url, data, streams=False)).prompt_tokens > 64


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("send", [over_responses, over_messages])
async def test_all_protocols_give_the_same_answer(url: str, send: Any, streams: bool) -> None:
    """The Responses API and the Messages API give the text and the token counts of a chat completion."""
    data = image()
    expected = await over_chat(url, data)
    assert expected.text
    assert await send(url, data, streams=streams) == expected
