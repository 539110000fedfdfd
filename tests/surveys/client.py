"""REST client of surveys for tests."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp

SURVEYS = "/v1/sar/surveys"
HOW_MANY = "How many ships are in the image?"
SEQUENCE = {"Accept": "application/geo+json-seq"}
ASYNC = {"Prefer": "respond-async"}
TILE = 256


def survey_body(scene: str, **fields: Any) -> dict[str, Any]:
    """Return the request body of a survey that counts ships without a speckle filter."""
    sar = {"filter": "none", "stretch": [2, 100]} | fields.pop("sar", {})
    return {"image": {"url": scene, "sar": sar}, "questions": [HOW_MANY], "tile": TILE, **fields}


async def call(
    method: str, url: str, json_body: Any = None, headers: dict[str, str] | None = None
) -> tuple[int, Any, Any]:
    """Send a request, and return status, JSON document and headers of the response."""
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, url, json=json_body, headers=headers) as response,
    ):
        return response.status, json.loads(await response.read()), response.headers


async def submit(base: str, body: dict[str, Any]) -> str:
    """Submit a survey as a job, and return its id."""
    status, document, _ = await call("POST", base + SURVEYS, body, ASYNC)
    assert status == 201, document
    return str(document["id"])


async def survey_status(base: str, job_id: str) -> dict[str, Any]:
    """Return the status of a survey."""
    return dict((await call("GET", f"{base}{SURVEYS}/{job_id}"))[1])


async def survey_features(base: str, job_id: str) -> list[dict[str, Any]]:
    """Return the answers of a survey."""
    return list((await call("GET", f"{base}{SURVEYS}/{job_id}/features"))[1]["features"])


async def wait_until_done(base: str, job_id: str) -> dict[str, Any]:
    """Wait until a survey is complete, and return its status."""
    async with asyncio.timeout(60):
        while True:
            document = await survey_status(base, job_id)
            if document["status"] not in {"accepted", "running"}:
                return document
            await asyncio.sleep(0.05)
