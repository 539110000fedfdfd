"""The asynchronous client, against a gateway with a fake worker."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from sarlens.admission.api_keys import generate_api_key
from sarlens.client import AsyncClient, GatewayError, GatewayUnreachable, LocalImageError
from sarlens.settings import KeysSettings, Settings, WorkerSettings
from support.gateway import gateway
from support.georeferenced_scenes import geotiff
from support.workers.fake_worker import MODEL, FakeWorker

CHIP = geotiff(np.arange(4096, dtype="u2").reshape(64, 64))


async def test_a_question_about_a_url_is_answered(client: AsyncClient, worker: FakeWorker) -> None:
    """The worker receives the rendered image before the question, at temperature 0."""
    answer = await client.ask("s3://scenes/client.tif", "How many ships?", window=[0, 0, 256, 256])
    assert answer == "There are 3 ships."
    (request,) = worker.requests
    assert request["temperature"] == 0
    assert [part["type"] for part in request["messages"][0]["content"]] == ["image_url", "text"]


async def test_bytes_and_paths_are_sent(client: AsyncClient, worker: FakeWorker, tmp_path: Path) -> None:
    """Bytes, a path and the text of a path are one image: the worker receives the same one."""
    path = tmp_path / "chip.tif"
    path.write_bytes(CHIP)
    for image in (CHIP, path, str(path)):
        assert await client.ask(image, "How many ships?", filter="none", size=64) == "There are 3 ships."
    assert len({request["messages"][0]["content"][0].get("uuid") for request in worker.requests}) == 1


async def test_the_answer_streams(client: AsyncClient, worker: FakeWorker) -> None:
    """Each token arrives on its own."""
    texts = [text async for text in client.stream(CHIP, "How many ships?", model=MODEL) if text]
    assert texts == ["There ", "are ", "3 ", "ships."]
    assert worker.requests[0]["model"] == MODEL


async def test_the_preview_is_what_the_worker_receives(client: AsyncClient, worker: FakeWorker, tmp_path: Path) -> None:
    """The preview is a PNG of the size for the model, and the file holds the same bytes."""
    out = tmp_path / "preview.png"
    data = await client.preview("s3://scenes/client.tif", out, model=MODEL, window=(0, 0, 512, 256))
    assert out.read_bytes() == data
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert (int.from_bytes(data[16:20]), int.from_bytes(data[20:24])) == (256, 128)
    assert await client.preview(CHIP, filter="none", looks=(2, 2), stretch=(1, 99.5))


async def test_previews_of_bytes_are_limited(client: AsyncClient, tmp_path: Path) -> None:
    """Over 1 MiB, bytes and files are rejected before a request; an existing directory is required for the file."""
    with pytest.raises(GatewayError, match="limited to 1048576 bytes"):
        await client.preview(bytes(2**20 + 1))
    (tmp_path / "big.tif").write_bytes(bytes(2**20 + 1))
    with pytest.raises(LocalImageError, match=r"big\.tif is larger than the 1 MB sent in a request; upload it"):
        await client.preview(tmp_path / "big.tif")
    with pytest.raises(GatewayError, match="doesn't exist"):
        await client.preview(CHIP, tmp_path / "missing" / "x.png")


async def test_the_models_are_listed(client: AsyncClient) -> None:
    """The names are those of the workers' models."""
    assert await client.models() == [MODEL]


async def test_the_gateways_error_is_raised(client: AsyncClient) -> None:
    """Message, status and code are those of the response."""
    with pytest.raises(GatewayError) as raised:
        await client.ask("s3://scenes/missing.tif", "How many ships?")
    assert (raised.value.status, raised.value.code) == (404, "image_not_found")
    with pytest.raises(GatewayError) as raised:
        await client.ask(CHIP, "How many ships?", model="no-such-model")
    assert (raised.value.status, raised.value.code) == (404, "model_not_found")


async def test_an_error_in_the_middle_of_an_answer_is_raised(client: AsyncClient, worker: FakeWorker) -> None:
    """If the worker breaks off, the tokens up to then arrive, and then the error."""
    worker.dies_after = 3
    texts: list[str] = []
    stream = client.stream(CHIP, "How many ships?")
    with pytest.raises(GatewayError) as raised:
        await _collect(stream, texts)
    assert raised.value.code == "worker_failed"
    assert "".join(texts) == "There are "


async def test_render_options_are_checked_first() -> None:
    """An invalid or unknown option is an error without a request."""
    async with AsyncClient("http://127.0.0.1:9") as client:
        with pytest.raises(GatewayError, match=r"sar\.window") as raised:
            await client.ask(CHIP, "?", window=(0, 0, 256))
        assert raised.value.code == "bad_request"
        with pytest.raises(GatewayError, match=r"sar\.windw"):
            await client.ask(CHIP, "?", windw=(0, 0, 1, 1))  # type: ignore[call-arg]


async def test_without_a_gateway_the_error_names_the_url() -> None:
    """A port without a server, and a server that isn't a gateway, are errors; a login isn't repeated."""
    async with AsyncClient("http://user:secret@127.0.0.1:9/x") as client:
        with pytest.raises(GatewayUnreachable) as raised:
            await client.models()
    assert str(raised.value) == "no gateway answers at http://127.0.0.1:9/x"
    for url in ("localhost:8080", "ftp://host", "http://", ""):
        with pytest.raises(GatewayError, match="isn't the base URL of a gateway"):
            AsyncClient(url)


async def test_another_server_is_no_gateway(worker: FakeWorker) -> None:
    """A 404 without an error object is an error that doubts the URL."""
    async with AsyncClient(f"{worker.url}/nothing") as client:
        with pytest.raises(GatewayError, match="answers 404; it may not be a Sarlens gateway") as raised:
            await client.models()
    assert raised.value.status == 404


async def test_a_timeout_is_an_error(worker: FakeWorker, base: str) -> None:
    """With a timeout, a worker that hangs is an error after that time."""
    worker.hangs = True
    async with AsyncClient(base, timeout_s=0.3) as client:
        with pytest.raises(GatewayError, match=r"didn't answer within 0\.3 s"):
            await client.ask(CHIP, "How many ships?")
    worker.hangs = False


async def test_the_api_key_is_sent(worker: FakeWorker, tmp_path: Path) -> None:
    """With its key the client is answered, without it the gateway rejects the request."""
    secret, digest = generate_api_key()
    (tmp_path / "keys.json").write_text(json.dumps([{"name": "gis", "sha256": digest}]))
    keys = KeysSettings(file=tmp_path / "keys.json")
    async with gateway(Settings(worker=WorkerSettings(urls=(worker.url,)), keys=keys)) as url:
        async with AsyncClient(url, secret) as client:
            assert await client.ask(CHIP, "How many ships?") == "There are 3 ships."
        async with AsyncClient(url) as client:
            with pytest.raises(GatewayError, match="API key") as raised:
                await client.ask(CHIP, "How many ships?")
    assert raised.value.status == 401


async def test_a_closed_client_can_be_used_again(base: str) -> None:
    """Connections open at the first request, also after `close`."""
    client = AsyncClient(base)
    assert await client.models() == [MODEL]
    await client.close()
    assert await client.models() == [MODEL]
    await client.close()


async def test_an_abandoned_answer_is_aborted_at_the_worker(client: AsyncClient, worker: FakeWorker) -> None:
    """Closing the stream closes the request, and the worker stops."""
    worker.pause_s = 0.2
    stream = client.stream(CHIP, "How many ships?")
    assert await anext(stream) == ""
    await stream.aclose()  # type: ignore[attr-defined]
    async with asyncio.timeout(5):
        while worker.running:
            await asyncio.sleep(0.01)
    assert worker.aborted == 1


async def _collect(stream: AsyncIterator[str], texts: list[str]) -> None:
    async for text in stream:
        texts.append(text)  # noqa: PERF401  what arrived before an error stays
