"""A survey by MCP, over a real store and a worker that counts ships."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
from mcp import Client
from mcp_types import CallToolResult, ResourceLink

from sarlens.settings import Settings
from support.gateway import gateway

QUESTIONS = ["How many ships are in the image?"]


async def _call(client: Client, name: str, **arguments: Any) -> CallToolResult:
    result = await client.call_tool(name, arguments)
    assert isinstance(result, CallToolResult)
    assert not result.is_error, result.content
    return result


def _count(feature: dict[str, Any]) -> tuple[int, int | None]:
    return feature["properties"]["tile"], feature["properties"]["count"]


async def test_a_survey_is_a_job_whose_result_is_a_link(settings: Settings, scene: str) -> None:
    """survey returns a job; survey_status its progress and a link to the answers of REST, below the public URL."""
    prefixed = settings.model_copy(update={"public_url": "https://radar.example.com/sar"})
    async with gateway(prefixed) as base, Client(f"{base}/mcp") as client:
        job = (await _call(client, "survey", image=scene, questions=QUESTIONS, tile=256)).structured_content
        assert job["status"] in {"accepted", "running"}
        async with asyncio.timeout(60):
            while True:
                result = await _call(client, "survey_status", id=job["id"])
                status = result.structured_content
                if status["status"] == "successful":
                    break
                await asyncio.sleep(0.05)
        assert status["progress"] == 100
        assert (status["tiles"], status["answered"], status["blank"]) == (30, 29, 1)
        link = result.content[-1]
        assert isinstance(link, ResourceLink)
        assert (link.uri, link.mime_type) == (
            f"https://radar.example.com/sar/v1/sar/surveys/{job['id']}/features",
            "application/geo+json",
        )
        async with aiohttp.ClientSession() as http, http.get(f"{base}{status['features']}") as response:
            features = (await response.json(content_type=None))["features"]
        body = {"image": scene, "questions": QUESTIONS, "tile": 256}
        async with aiohttp.ClientSession() as http, http.post(f"{base}/v1/sar/surveys", json=body) as response:
            expected = (await response.json(content_type=None))["features"]
        assert len(features) == status["answered"]
        assert [_count(feature) for feature in features] == [_count(feature) for feature in expected]


async def test_a_survey_can_be_dismissed(base: str, scene: str) -> None:
    """With the action cancel, the survey ends; a second one deletes it."""
    async with Client(f"{base}/mcp") as client:
        job = (await _call(client, "survey", image=scene, questions=QUESTIONS, tile=64)).structured_content
        result = await _call(client, "survey_status", id=job["id"], action="cancel")
    assert result.structured_content["status"] in {"dismissed", "successful"}
