"""Image parts of requests: image bytes as a data URL, a URL that the endpoint reads, or a black image."""

from __future__ import annotations

import asyncio
import base64
from functools import lru_cache
from io import BytesIO
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

from PIL import Image

from sarbench.dataset.render import image_size
from sarbench.dataset.sarlang import SarlangDataset
from sarbench.errors import DatasetError
from sarbench.run.config import RunConfig
from sarbench.run.endpoint import RequestFailed

MEDIA_TYPES = {".png": "image/png", ".webp": "image/webp", ".tif": "image/tiff", ".tiff": "image/tiff"}
MAX_CACHED_IMAGES = 16
"""Encoded images kept in memory, because consecutive questions share an image."""


class RequestImages:
    """Builder of the ``image_url`` objects of a run."""

    def __init__(self, dataset: SarlangDataset, config: RunConfig) -> None:
        self._dataset = dataset
        self._config = config
        self._cached_url = lru_cache(MAX_CACHED_IMAGES)(self._black_url if config.blackout else self._data_url)

    async def image_url(self, name: str, sar: dict[str, Any] | None) -> dict[str, Any]:
        """Return ``{"url": …}``, with the ``sar`` object unless it is None.

        Raises:
            RequestFailed: the image cannot be read.
        """
        try:
            url = await self._url(name)
        except DatasetError as error:
            raise RequestFailed(str(error), retryable=False) from error
        return {"url": url} if sar is None else {"url": url, "sar": sar}

    async def _url(self, name: str) -> str:
        if self._config.image_url_prefix and not self._config.blackout:
            return _url_below(self._config.image_url_prefix, self._dataset.relative_image_path(name))
        return await asyncio.to_thread(self._cached_url, name)

    def _path(self, name: str) -> PurePosixPath:
        return PurePosixPath(self._dataset.image_path(name) or name)

    def _data_url(self, name: str) -> str:
        return _to_data_url(
            self._dataset.read_image(name), MEDIA_TYPES.get(self._path(name).suffix.lower(), "image/jpeg")
        )

    def _black_url(self, name: str) -> str:
        """Return a black image of the same size, for the question-only baseline."""
        black = BytesIO()
        Image.new("RGB", image_size(self._dataset, name)).save(black, "PNG")
        return _to_data_url(black.getvalue(), "image/png")


def _url_below(prefix: str, path: str) -> str:
    """Return the URL of a path below a prefix. Only HTTP URLs have escapes; keys of S3 stand as they are."""
    is_http = prefix.startswith(("http://", "https://"))
    return f"{prefix.rstrip('/')}/{quote(path) if is_http else path}"


def _to_data_url(data: bytes, media_type: str) -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"
