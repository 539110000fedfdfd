"""How an image goes into a request: as its bytes, as an address that the endpoint reads, or blacked out."""

from __future__ import annotations

import asyncio
import base64
from functools import lru_cache
from io import BytesIO
from pathlib import PurePosixPath
from typing import Any

from PIL import Image

from sarbench.dataset.library import Library
from sarbench.dataset.picture import size_of
from sarbench.errors import DatasetError
from sarbench.run.endpoint import NoAnswer
from sarbench.run.plan import Plan

MEDIA_TYPES = {".png": "image/png", ".webp": "image/webp", ".tif": "image/tiff", ".tiff": "image/tiff"}
KEPT = 16
"""Encoded pictures held, as questions about one image follow each other."""


class Pictures:
    """The ``image_url`` objects of a run."""

    def __init__(self, library: Library, plan: Plan) -> None:
        self._library = library
        self._plan = plan
        self._encoded = lru_cache(KEPT)(self._black_url if plan.blackout else self._data_url)

    async def image_url(self, name: str) -> dict[str, Any]:
        """``{"url": …}``, with the plan's ``sar`` object where there is one.

        Raises:
            NoAnswer: the image cannot be read.
        """
        try:
            url = await self._url(name)
        except DatasetError as error:
            raise NoAnswer(str(error), passing=False) from error
        return {"url": url} if self._plan.sar is None else {"url": url, "sar": self._plan.sar}

    async def _url(self, name: str) -> str:
        if self._plan.image_url_prefix and not self._plan.blackout:
            return f"{self._plan.image_url_prefix.rstrip('/')}/{self._held(name).name}"
        return await asyncio.to_thread(self._encoded, name)

    def _held(self, name: str) -> PurePosixPath:
        return PurePosixPath(self._library.image_path(name) or name)

    def _data_url(self, name: str) -> str:
        return _url_of(self._library.image(name), MEDIA_TYPES.get(self._held(name).suffix.lower(), "image/jpeg"))

    def _black_url(self, name: str) -> str:
        """A black picture of the image's size: what is left is what the question alone gives away."""
        black = BytesIO()
        Image.new("RGB", size_of(self._library, name)).save(black, "PNG")
        return _url_of(black.getvalue(), "image/png")


def _url_of(data: bytes, media_type: str) -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"
