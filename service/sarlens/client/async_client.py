"""The asynchronous client."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, Unpack

import orjson

from sarlens.client.errors import GatewayError
from sarlens.client.image_input import MAX_QUERY_BYTES, ImageInput, Uploader, to_image_urls, to_remote_urls
from sarlens.client.render_options import RenderOptions, check_render_options, to_query
from sarlens.client.surveys import (
    DetectionOptions,
    ProgressCallback,
    SurveyJob,
    SurveyResult,
    check_output,
    check_writable,
)
from sarlens.client.transport import Transport

DEFAULT_BASE_URL = "http://localhost:8080"


class AsyncClient:
    """Asynchronous client of a gateway; ``async with`` closes its connections.

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
        if base_url is None:
            base_url = os.environ.get("SARLENS_URL") or DEFAULT_BASE_URL
        api_key = api_key or os.environ.get("SARLENS_API_KEY") or None
        self._transport = Transport(base_url, api_key, timeout_s)
        self._survey_transport = Transport(base_url, api_key, None)
        self._upload = upload

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        await self._transport.close()
        await self._survey_transport.close()

    async def models(self) -> list[str]:
        """Return the names of the models that the gateway serves."""
        return [str(card["id"]) for card in (await self._transport.get_json("v1/models"))["data"]]

    async def ask(
        self, image: ImageInput, question: str, *, model: str | None = None, **render: Unpack[RenderOptions]
    ) -> str:
        """Ask a question about an image and return the answer.

        Args:
            image: URL, path of a local file, or bytes.
            question: the question.
            model: name of the model; may be omitted if the gateway serves only one.
            render: part of the image and render parameters.

        Raises:
            GatewayError: the gateway rejects the request or can't be reached.
            LocalImageError: the file can't be read or sent.
        """
        return "".join([text async for text in self.stream(image, question, model=model, **render)])

    async def stream(
        self, image: ImageInput, question: str, *, model: str | None = None, **render: Unpack[RenderOptions]
    ) -> AsyncIterator[str]:
        """Ask a question about an image and iterate over the answer as the model writes it; see ``ask``."""
        sar = check_render_options(render)
        url = await to_image_urls(image, self._upload)
        image_url: dict[str, Any] = {"url": url, "sar": sar} if sar else {"url": url}
        parts = [{"type": "image_url", "image_url": image_url}, {"type": "text", "text": question}]
        body: dict[str, Any] = {"messages": [{"role": "user", "content": parts}], "stream": True, "temperature": 0}
        if model is not None:
            body["model"] = model
        async with self._transport.request("POST", "v1/chat/completions", json=body) as response:
            async for line in response.content:
                if line.startswith(b"data: {"):
                    yield _event_text(line[6:])

    async def preview(
        self,
        image: ImageInput,
        path: str | os.PathLike[str] | None = None,
        *,
        model: str | None = None,
        **render: Unpack[RenderOptions],
    ) -> bytes:
        """Return the rendered image that a model receives, and write it to ``path`` if given.

        Args:
            image: URL, path of a local file, or bytes; without an uploader, at most 1 MiB.
            path: file to write.
            model: name of the model, whose input size the rendered image has.
            render: part of the image and render parameters.

        Raises:
            GatewayError: the gateway rejects the request or can't be reached, or the file can't be written.
        """
        query = to_query(check_render_options(render)) | ({"model": model} if model else {})
        if path is not None:
            check_writable(Path(path))
        if isinstance(image, bytes) and len(image) > MAX_QUERY_BYTES:
            raise GatewayError(f"a preview of bytes is limited to {MAX_QUERY_BYTES} bytes; pass a URL")
        url = await to_image_urls(image, self._upload, max_inline_bytes=MAX_QUERY_BYTES)
        async with self._transport.request("GET", "v1/sar/picture", params={"url": url, **query}) as response:
            data = await response.read()
        if path is not None:
            await asyncio.to_thread(Path(path).write_bytes, data)
        return data

    async def submit_survey(
        self,
        image: ImageInput,
        questions: Sequence[str],
        *,
        tile: int | None = None,
        overlap: int = 0,
        model: str | None = None,
        detection: DetectionOptions | None = None,
        **render: Unpack[RenderOptions],
    ) -> SurveyJob:
        """Submit a survey as a job and return at once.

        Args:
            image: URL of a georeferenced scene; a local file requires an uploader.
            questions: questions about every tile.
            tile: side of a tile in pixels; None, what the model sees.
            overlap: pixels that neighboring tiles share.
            model: name of the model; may be omitted if the gateway serves only one.
            detection: objects, gate and second opinion.
            render: part of the scene and render parameters.

        Raises:
            GatewayError: the gateway rejects the survey or can't be reached.
            LocalImageError: the file can't be read or uploaded.
        """
        sar = check_render_options(render)
        url = await to_remote_urls(image, self._upload)
        body: dict[str, Any] = {"image": {"url": url, "sar": sar} if sar else url, "questions": list(questions)}
        body |= {"overlap": overlap} | ({} if tile is None else {"tile": tile}) | ({"model": model} if model else {})
        body |= detection or {}
        return await SurveyJob.submit(self._survey_transport, body)

    async def survey(
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
        """Ask questions about every tile of a scene, and wait for the answers.

        Canceling the task cancels the survey.

        Args:
            image: URL of a georeferenced scene; a local file requires an uploader.
            questions: questions about every tile.
            out: file for the features: ``.geojson``, ``.csv``, ``.gpkg``, ``.fgb`` or ``.parquet``; None, the result
                holds them.
            tile: side of a tile in pixels; None, what the model sees.
            overlap: pixels that neighboring tiles share.
            model: name of the model; may be omitted if the gateway serves only one.
            detection: objects, gate and second opinion; the objects are in the result.
            on_progress: receives the number of finished tiles and of all tiles.
            render: part of the scene and render parameters.

        Raises:
            GatewayError: the survey is rejected or fails, or the file can't be written.
            LocalImageError: the scene can't be read or uploaded.
        """
        path = None if out is None else Path(out)
        if path is not None:
            check_output(path)
        job = await self.submit_survey(
            image, questions, tile=tile, overlap=overlap, model=model, detection=detection, **render
        )
        return await job.collect(path, on_progress)


def _event_text(payload: bytes) -> str:
    event = orjson.loads(payload)
    if "error" in event:
        raise GatewayError(event["error"]["message"], code=event["error"].get("code"))
    return "".join(choice["delta"].get("content") or "" for choice in event["choices"])
