"""Batches by OpenAI's SDK."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import openai
from openai.types import Batch, FileObject

_ACTIVE = {"validating", "in_progress", "finalizing", "cancelling"}


def jsonl(endpoint: str, bodies: Mapping[str, Any]) -> bytes:
    """Return the input of a batch, from bodies by custom id."""
    lines = [{"custom_id": name, "method": "POST", "url": endpoint, "body": body} for name, body in bodies.items()]
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


async def upload(sdk: openai.AsyncOpenAI, content: bytes, purpose: Any = "batch") -> FileObject:
    """Upload a file."""
    return await sdk.files.create(file=("in.jsonl", content), purpose=purpose)


async def create(sdk: openai.AsyncOpenAI, endpoint: Any, bodies: Mapping[str, Any], **fields: Any) -> Batch:
    """Upload the bodies and create a batch of them."""
    file = await upload(sdk, jsonl(endpoint, bodies))
    return await sdk.batches.create(
        input_file_id=file.id, endpoint=endpoint, completion_window="24h", extra_body=fields or None
    )


async def ended(sdk: openai.AsyncOpenAI, batch_id: str, timeout_s: float = 60.0) -> Batch:
    """Wait until a batch has ended."""
    async with asyncio.timeout(timeout_s):
        while (batch := await sdk.batches.retrieve(batch_id)).status in _ACTIVE:
            await asyncio.sleep(0.02)
    return batch


async def lines_of(sdk: openai.AsyncOpenAI, file_id: str | None) -> list[dict[str, Any]]:
    """Return the lines of a result file; none if the batch has no such file."""
    text = "" if file_id is None else (await sdk.files.content(file_id)).text
    return [json.loads(line) for line in text.splitlines()]
