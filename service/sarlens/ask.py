"""The command line's own client: one question, one image, the answer as it is written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import orjson

_LONGEST = 16 * 2**20
"""Most bytes of one line of an answer."""


class AskFailed(Exception):
    """The gateway refused, in its own words."""


def open_client(base_url: str, key: str | None) -> aiohttp.ClientSession:
    """Connections to a gateway, with an API key where it wants one; paths begin without a slash."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=10)
    return aiohttp.ClientSession(f"{base_url.rstrip('/')}/", headers=headers, timeout=timeout, read_bufsize=_LONGEST)


def question_body(image: str, question: str, *, model: str | None, sar: dict[str, Any]) -> dict[str, Any]:
    """A streaming chat body with the image before the question."""
    image_url = {"url": image, "sar": sar} if sar else {"url": image}
    parts = [{"type": "image_url", "image_url": image_url}, {"type": "text", "text": question}]
    body = {"messages": [{"role": "user", "content": parts}], "stream": True, "temperature": 0}
    return body if model is None else {"model": model, **body}


async def stream_answer(client: aiohttp.ClientSession, body: dict[str, Any]) -> AsyncIterator[str]:
    """The answer, piece by piece.

    Raises:
        AskFailed: with the gateway's sentence.
    """
    async with client.post("v1/chat/completions", json=body) as response:
        await refused(response)
        async for line in response.content:
            if not line.startswith(b"data: {"):
                continue
            event = orjson.loads(line[6:])
            if "error" in event:
                raise AskFailed(event["error"]["message"])
            for choice in event["choices"]:
                yield choice["delta"].get("content") or ""


async def save_picture(client: aiohttp.ClientSession, image: str, query: dict[str, str], out: Path) -> None:
    """Save the picture that the model sees.

    Raises:
        AskFailed: with the gateway's sentence.
    """
    async with client.get("v1/sar/picture", params={"url": image, **query}) as response:
        await refused(response)
        await asyncio.to_thread(out.write_bytes, await response.read())


async def refused(response: aiohttp.ClientResponse, wanted: int = 200) -> None:
    """Raise AskFailed in the gateway's words unless it has done what was asked."""
    if response.status == wanted:
        return
    try:
        message = orjson.loads(await response.read())["error"]["message"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        message = f"{response.url.origin()} answers {response.status}: is it a Sarlens gateway?"
    raise AskFailed(message)
