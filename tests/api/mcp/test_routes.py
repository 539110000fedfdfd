"""MCP by the SDK's own client over HTTP, in front of a fake worker."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import httpx2
import numpy as np
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult
from PIL import Image

from sarlens.admission.api_keys import generate_api_key
from sarlens.settings import KeysSettings, McpSettings, Settings, WorkerSettings
from support.gateway import gateway
from support.georeferenced_scenes import geotiff, sea
from support.pictures import DATA_URL
from support.workers.fake_worker import FakeWorker

PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
HEADERS = {"accept": "application/json, text/event-stream"}


@asynccontextmanager
async def client_with(url: str, key: str) -> AsyncIterator[Client]:
    """The SDK's client with an API key as bearer token."""
    headers = {"authorization": f"Bearer {key}"}
    async with (
        httpx2.AsyncClient(headers=headers) as http,
        Client(streamable_http_client(url, http_client=http)) as sdk,
    ):
        yield sdk


async def call(client: Client, name: str, **arguments: Any) -> CallToolResult:
    """Call a tool; the client checks the result against the output schema of the tool."""
    result = await client.call_tool(name, arguments)
    assert isinstance(result, CallToolResult)
    return result


async def call_at(url: str, name: str, **arguments: Any) -> CallToolResult:
    """Connect to a gateway and call one of its tools."""
    async with Client(f"{url}/mcp") as client:
        return await call(client, name, **arguments)


async def test_the_tools_are_listed(url: str) -> None:
    """There are five tools with schemas; only those of surveys change something."""
    async with Client(f"{url}/mcp") as client:
        listed = (await client.list_tools()).tools
    assert [tool.name for tool in listed] == ["describe_image", "look", "ask", "survey", "survey_status"]
    assert [tool.annotations.read_only_hint for tool in listed if tool.annotations] == [True, True, True, False, False]
    assert all(tool.output_schema and "image" in tool.input_schema["required"] for tool in listed[:4])


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_questions_have_typed_answers(url: str, mode: Any) -> None:
    """Current clients and those that send initialize get the answers of REST: a count is an integer."""
    async with Client(f"{url}/mcp", mode=mode) as client:
        result = await call(client, "ask", image=DATA_URL, questions=["How many ships are in the image?"])
    assert not result.is_error
    (answer,) = result.structured_content["data"]
    assert (answer["text"], answer["answer"]) == ("There are 3 ships.", {"type": "integer", "value": 3})
    assert json.loads(result.content[0].text) == result.structured_content  # type: ignore[union-attr]


async def test_a_description_is_the_text_of_the_model(url: str, worker: FakeWorker) -> None:
    """describe_image returns a caption; the worker gets the picture, 32 pixels wide, and one prompt."""
    result = await call_at(url, "describe_image", image={"url": DATA_URL, "sar": {"size": 32}})
    assert result.structured_content["text"] == "There are 3 ships."
    (request,) = worker.requests
    sent = next(part["image_url"]["url"] for part in request["messages"][-1]["content"] if part["type"] == "image_url")
    with Image.open(io.BytesIO(base64.b64decode(sent.partition(",")[2]))) as picture:
        assert picture.size == (32, 24)


async def test_look_returns_the_picture_with_its_bounds(url: str) -> None:
    """The picture of a window is image content; its bounds are those of the window: 3 degrees east, 45.15 north."""
    scene = geotiff(sea(400, 400, np.zeros((0, 2), int)))
    data_url = f"data:image/tiff;base64,{base64.b64encode(scene).decode()}"
    result = await call_at(url, "look", image={"url": data_url, "sar": {"window": [100, 200, 50, 100], "size": 64}})
    found, picture = result.structured_content, result.content[1]
    assert picture.type == "image"
    with Image.open(io.BytesIO(base64.b64decode(picture.data))) as image:
        assert image.size == (32, 64) == (found["width"], found["height"])
    assert found["window"] == [100, 200, 50, 100]
    # 3°E is easting 500,000 m: the window begins 1,000 m east of it and is 500 m wide; a degree is 78.7 km there.
    assert found["bounds"] == pytest.approx([3.0127, 45.1245, 3.0191, 45.1336], abs=2e-3)
    assert found["bounds"][2] - found["bounds"][0] == pytest.approx(500 / 78_710, rel=0.03)
    assert found["bounds"][3] - found["bounds"][1] == pytest.approx(1000 / 111_140, rel=0.01)


async def test_a_picture_without_a_position_has_no_bounds(url: str) -> None:
    """A PNG is shown, and its bounds are null."""
    result = await call_at(url, "look", image=DATA_URL)
    assert result.structured_content["bounds"] is None
    assert result.structured_content["radiometry"] == "relative"


@pytest.mark.parametrize(
    ("name", "arguments", "code", "sentence"),
    [
        ("ask", {"image": DATA_URL, "questions": []}, "bad_request", "questions"),
        ("ask", {"image": "ftp://host/a.tif", "questions": ["Ships?"]}, "source_refused", "s3:, https:, data:"),
        ("ask", {"image": DATA_URL, "questions": ["Ships?"], "model": "none"}, "model_not_found", "none"),
        ("look", {"image": {"url": DATA_URL, "sar": {"window": [90, 0, 9, 9]}}}, "window_outside", "window"),
        ("survey", {"image": DATA_URL, "questions": ["Ships?"]}, "bad_request", "A job reads its image again"),
        ("survey_status", {"id": "missing"}, "job_not_found", "missing"),
        ("shell", {}, "bad_request", "There is no such tool"),
    ],
)
async def test_a_failed_tool_has_sentence_and_code(
    url: str, name: str, arguments: dict[str, Any], code: str, sentence: str
) -> None:
    """An error of the gateway is a result with isError: its sentence as text, its code as structured content."""
    result = await call_at(url, name, **arguments)
    assert result.is_error
    assert result.structured_content["error"]["code"] == code
    assert sentence in result.content[0].text  # type: ignore[union-attr]
    assert result.content[0].text.endswith(f"({code})")  # type: ignore[union-attr]


async def test_keys_scopes_and_quotas_are_those_of_rest(worker: FakeWorker, tmp_path: Path) -> None:
    """A missing key is 401; a key's models and its quota of two requests limit its tools."""
    secret, digest = generate_api_key()
    file = tmp_path / "keys.json"
    key = {"name": "agent", "sha256": digest, "images": ["data:"], "requests_per_minute": 2}
    file.write_text(json.dumps([key]))
    settings = Settings(worker=WorkerSettings(urls=(worker.url,)), keys=KeysSettings(file=file))
    async with gateway(settings) as url:
        async with aiohttp.ClientSession() as http, http.post(f"{url}/mcp", json=PING, headers=HEADERS) as response:
            assert (response.status, response.headers["www-authenticate"]) == (401, "Bearer")
        async with client_with(f"{url}/mcp", secret) as client:
            denied = await call(client, "look", image="s3://secret/a.tif")
            assert denied.structured_content["error"]["code"] == "not_allowed"
            codes = [
                (await call(client, "ask", image=DATA_URL, questions=["How many ships?"])).is_error for _ in range(3)
            ]
    assert codes == [False, False, True]


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_tool_ends_with_its_connection(url: str, worker: FakeWorker, mode: Any) -> None:
    """If the client closes the connection, the gateway aborts the request to the worker."""

    async def ask() -> None:
        async with Client(f"{url}/mcp", mode=mode) as client:
            await call(client, "ask", image=DATA_URL, questions=["How many ships are in the image?"])

    worker.hangs = True
    asking = asyncio.create_task(ask())
    async with asyncio.timeout(30):
        while not worker.requests:
            await asyncio.sleep(0.01)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        while not worker.aborted:
            await asyncio.sleep(0.01)
    assert worker.aborted == 1


async def test_pages_of_other_origins_are_rejected(url: str) -> None:
    """A request with the header Origin of a page that isn't allowed is 403; other methods are 405."""
    async with aiohttp.ClientSession(headers=HEADERS) as http:
        async with http.post(f"{url}/mcp", json=PING, headers={"origin": "https://evil.example"}) as response:
            assert response.status == 403
        async with http.post(f"{url}/mcp", json=PING) as response:
            assert (response.status, (await response.json())["result"]) == (200, {})
        async with http.get(f"{url}/mcp") as response:
            assert response.status == 405


async def test_bodies_are_bounded(url: str) -> None:
    """A body over 1 MiB is 413 and one that isn't JSON or too deep is 400, before the SDK parses it."""
    headers = HEADERS | {"content-type": "application/json"}
    async with aiohttp.ClientSession(headers=headers) as http:
        for body, status in ((b" " * (2**20 + 1), 413), (b"{", 400), (b"[" * 100_000, 400)):
            async with http.post(f"{url}/mcp", data=body) as response:
                assert response.status == status


async def test_the_setting_turns_it_off(worker: FakeWorker) -> None:
    """Without MCP, the path is 404."""
    settings = Settings(worker=WorkerSettings(urls=(worker.url,)), mcp=McpSettings(enabled=False))
    async with gateway(settings) as url, aiohttp.ClientSession(headers=HEADERS) as http:
        response = await http.post(f"{url}/mcp", json=PING)
        assert response.status == 404


async def test_without_the_extra_the_error_names_it(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the SDK isn't installed, the error says what to install."""
    monkeypatch.setattr("sarlens.api.mcp.routes.find_spec", lambda _: None)
    async with aiohttp.ClientSession() as http, http.post(f"{url}/mcp", json=PING, headers=HEADERS) as response:
        assert response.status == 404
        assert 'pip install ".[mcp]"' in (await response.json())["error"]["message"]
