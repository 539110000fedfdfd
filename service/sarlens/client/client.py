"""The synchronous client: an ``AsyncClient`` on an event loop in a thread of its own.

It works inside a running event loop too, such as that of a notebook.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine, Iterator, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

from sarlens.client.async_client import AsyncClient
from sarlens.client.errors import GatewayError
from sarlens.client.image_input import ImageInput, Uploader
from sarlens.client.render_options import RenderOptions
from sarlens.client.surveys import DetectionOptions, ProgressCallback, SurveyResult

T = TypeVar("T")

_CANCEL_TIMEOUT_S = 10.0


class Client:
    """Client of a gateway; ``with`` closes its connections.

    Args:
        base_url: base URL of the gateway. Default: the variable ``SARLENS_URL``, or ``http://localhost:8080``.
        api_key: API key, if the gateway requires one. Default: the variable ``SARLENS_API_KEY``.
        timeout_s: timeout of a request in seconds; None, no timeout. It doesn't limit a survey.
        upload: uploads local files that a request can't hold; without it, such files are rejected.
    """

    def __init__(
        self,
        base_url: str | None = None,
        api_key: str | None = None,
        *,
        timeout_s: float | None = None,
        upload: Uploader | None = None,
    ) -> None:
        self._client = AsyncClient(base_url, api_key, timeout_s=timeout_s, upload=upload)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="sarlens-client", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections and end the thread; closing twice is harmless."""
        if self._loop.is_closed():
            return
        self._run(self._client.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def models(self) -> list[str]:
        """Return the names of the models that the gateway serves."""
        return self._run(self._client.models())

    def ask(
        self, image: ImageInput, question: str, *, model: str | None = None, **render: Unpack[RenderOptions]
    ) -> str:
        """Ask a question about an image and return the answer; see ``AsyncClient.ask``."""
        return self._run(self._client.ask(image, question, model=model, **render))

    def stream(
        self, image: ImageInput, question: str, *, model: str | None = None, **render: Unpack[RenderOptions]
    ) -> Iterator[str]:
        """Ask a question about an image and iterate over the answer as the model writes it."""
        texts = self._client.stream(image, question, model=model, **render)
        try:
            while (text := self._run(_next(texts))) is not None:
                yield text
        finally:
            if not self._loop.is_closed():
                self._run(_close(texts))

    def preview(
        self,
        image: ImageInput,
        path: str | os.PathLike[str] | None = None,
        *,
        model: str | None = None,
        **render: Unpack[RenderOptions],
    ) -> bytes:
        """Return the rendered image that a model receives, and write it to ``path`` if given."""
        return self._run(self._client.preview(image, path, model=model, **render))

    def survey(
        self,
        image: ImageInput,
        questions: Sequence[str],
        out: str | os.PathLike[str] | None = None,
        *,
        tile: int | None = None,
        overlap: int = 0,
        model: str | None = None,
        detection: DetectionOptions | None = None,
        on_progress: ProgressCallback | None = None,
        **render: Unpack[RenderOptions],
    ) -> SurveyResult:
        """Ask questions about every tile of a scene, and wait for the answers; see ``AsyncClient.survey``.

        Ctrl-C cancels the survey. ``on_progress`` runs in the client's thread.
        """
        return self._run(
            self._client.survey(
                image,
                questions,
                out,
                tile=tile,
                overlap=overlap,
                model=model,
                detection=detection,
                on_progress=on_progress,
                **render,
            )
        )

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the client's thread; an interrupt cancels it and waits until it has cleaned up."""
        if self._loop.is_closed():
            coroutine.close()
            raise GatewayError("the client is closed")
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result()
        except KeyboardInterrupt:
            future.cancel()
            asyncio.run_coroutine_threadsafe(_wait_for_others(), self._loop).result(_CANCEL_TIMEOUT_S)
            raise


async def _next(texts: Any) -> str | None:
    return await anext(texts, None)


async def _close(texts: Any) -> None:
    await texts.aclose()


async def _wait_for_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.gather(*others, return_exceptions=True)
