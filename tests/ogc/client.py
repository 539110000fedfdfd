"""REST client of the OGC APIs for tests."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp

SCENE = "s3://scenes/ogc.tif"
HOW_MANY = "How many ships are in the image?"
ASYNC = {"Prefer": "respond-async"}
EXCEPTIONS = "http://www.opengis.net/def/exceptions/ogcapi-processes-1/1.0/"
REL = "http://www.opengis.net/def/rel/ogc/1.0/"
SURVEY: dict[str, Any] = {"inputs": {"image": SCENE, "question": HOW_MANY, "tile": 256, "filter": "none"}}
"""Execution of a survey with 12 tiles."""


async def call(method: str, url: str, body: Any = None, headers: dict[str, str] | None = None) -> tuple[int, Any, Any]:
    """Send a request, and return status, document or text, and headers of the response."""
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, url, json=body, headers=headers) as response,
    ):
        text = await response.text()
        return response.status, json.loads(text) if "json" in response.content_type else text, response.headers


async def submit(base: str, process: str, body: dict[str, Any]) -> str:
    """Execute a process as a job, and return the id of the job."""
    status, document, _ = await call("POST", f"{base}/processes/{process}/execution", body, ASYNC)
    assert status == 201, document
    return str(document["jobID"])


async def submit_echo(base: str, **inputs: Any) -> str:
    """Submit an echo, and return the id of the job."""
    return await submit(base, "echo", {"inputs": inputs})


async def wait_until_done(base: str, job_id: str) -> dict[str, Any]:
    """Wait until a job is complete, and return its status."""
    async with asyncio.timeout(60):
        while True:
            _, document, _ = await call("GET", f"{base}/jobs/{job_id}")
            if document["status"] not in {"accepted", "running"}:
                return dict(document)
            await asyncio.sleep(0.05)
