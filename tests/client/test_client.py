"""The synchronous client, against a gateway with a fake worker."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from sarlens.client import Client, GatewayError, GatewayUnreachable
from support.workers.fake_worker import MODEL, FakeWorker


async def in_thread(function: Any, *arguments: Any) -> Any:
    """Run a function as a program without an event loop does."""
    return await asyncio.to_thread(function, *arguments)


async def test_all_methods_answer(base: str, scene: bytes, tmp_path: Path) -> None:
    """Questions, streams, previews and models work without an event loop of the caller."""

    def use() -> None:
        with Client(base) as client:
            assert client.models() == [MODEL]
            assert client.ask("s3://scenes/client.tif", "How many ships?") == "There are 3 ships."
            assert "".join(client.stream(scene, "How many ships?", model=MODEL)) == "There are 3 ships."
            assert client.preview("s3://scenes/client.tif", tmp_path / "p.png")[:4] == b"\x89PNG"
            with pytest.raises(GatewayError):
                client.ask("s3://scenes/missing.tif", "How many ships?")

    await in_thread(use)


async def test_surveys_return_features(base: str, ship_counter: FakeWorker) -> None:
    """A survey without a file returns its features and totals, and reports its progress."""
    progress: list[tuple[int, int]] = []

    def use() -> None:
        with Client(base) as client:
            result = client.survey(
                *("s3://scenes/client.tif", ["How many ships are in the image?"]),
                tile=256,
                filter="none",
                stretch=(0, 100),
                on_progress=lambda done, total: progress.append((done, total)),
            )
        assert (result.tiles, result.answered, result.blank, result.failed) == (12, 12, 0, 0)
        assert result.features is not None
        assert sum(feature["properties"]["count"] for feature in result.features) == 5
        assert result.totals[0]["sum"] == 5
        assert result.path is None

    await in_thread(use)
    assert all(0 <= done <= total == 12 for done, total in progress)


def test_it_works_inside_a_running_event_loop(worker_url: str) -> None:
    """In a notebook, whose event loop runs, the client works too; a missing gateway is an error."""

    async def cell() -> None:
        with Client(worker_url) as client:
            assert client.models() == [MODEL]
        with Client("http://127.0.0.1:9") as client, pytest.raises(GatewayUnreachable):
            client.models()

    asyncio.new_event_loop().run_until_complete(cell())


@pytest.fixture
def worker_url() -> Any:
    """A fake worker in a thread of its own; its list of models has the form of a gateway's."""
    from support.workers.fake_worker import fake_worker  # noqa: PLC0415

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    context = fake_worker()
    worker = asyncio.run_coroutine_threadsafe(context.__aenter__(), loop).result()
    yield worker.url
    asyncio.run_coroutine_threadsafe(context.__aexit__(None, None, None), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def test_closing_twice_is_harmless() -> None:
    """`close` ends the thread, once."""
    client = Client("http://127.0.0.1:9")
    assert any(thread.name == "sarlens-client" for thread in threading.enumerate())
    client.close()
    client.close()
    with pytest.raises(GatewayError, match="the client is closed"):
        client.models()
    assert not any(thread.name == "sarlens-client" for thread in threading.enumerate())


def test_an_interrupt_cancels_the_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C cancels the coroutine, and waits until it has cleaned up."""
    events = []

    async def survey() -> None:
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            await asyncio.sleep(0.05)
            events.append("canceled")
            raise

    with Client("http://127.0.0.1:9") as client:
        original = asyncio.run_coroutine_threadsafe

        def interrupted(coroutine: Any, loop: Any) -> Any:
            future = original(coroutine, loop)
            if not events:
                monkeypatch.setattr(asyncio, "run_coroutine_threadsafe", original)
                asyncio.run_coroutine_threadsafe(asyncio.sleep(0.05), loop).result()
                monkeypatch.setattr(future, "result", lambda: (_ for _ in ()).throw(KeyboardInterrupt))
            return future

        monkeypatch.setattr(asyncio, "run_coroutine_threadsafe", interrupted)
        with pytest.raises(KeyboardInterrupt):
            client._run(survey())
        assert events == ["canceled"]


async def test_the_environment_has_the_defaults(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without arguments, the client uses ``SARLENS_URL`` and ``SARLENS_API_KEY``."""
    monkeypatch.setenv("SARLENS_URL", base)
    monkeypatch.setenv("SARLENS_API_KEY", "sar-key")

    def use() -> None:
        with Client() as client:
            assert client.models() == [MODEL]
            assert client._client._transport._headers == {"Authorization": "Bearer sar-key"}

    await in_thread(use)
