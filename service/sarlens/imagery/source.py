"""Where images come from: a URL goes in, an open image comes out."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from sarlens.errors import SourceRefused
from sarlens.imagery import blob
from sarlens.request import scheme


class Blob(blob.Blob, Protocol):
    """An opened image: one version of its bytes, and what fetching them has cost. One thread reads it at a time.

    Its ``name`` has no query, no credentials and no bytes of the image in it.
    """

    @property
    def version(self) -> str:
        """Identifies the bytes: equal versions have equal bytes."""

    @property
    def bytes_moved(self) -> int:
        """Bytes fetched over the network for this blob until now, by opening and by ``read``."""

    @property
    def seconds(self) -> float:
        """Time that ``read`` has waited for the network until now."""


@dataclass(frozen=True, slots=True)
class HeldBlob:
    """An image whose bytes are all here."""

    name: str
    version: str
    data: bytes
    bytes_moved: int = 0
    seconds: float = 0.0

    @property
    def size(self) -> int:
        """Number of bytes."""
        return len(self.data)

    def read(self, start: int, length: int) -> bytes:
        """The bytes from ``start`` on, fewer than ``length`` only at the end."""
        return self.data[start : start + length]


def content_version(data: bytes) -> str:
    """The version of bytes that nothing but themselves identifies."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class Holder(Protocol):
    """What makes an image of bytes that came with a request."""

    async def hold(self, data: bytes) -> Blob:
        """The image.

        Raises:
            TooLarge: the bytes are too many.
        """


class Source(Protocol):
    """A kind of place that holds images."""

    async def open(self, url: str) -> Blob:
        """Find the image and settle which version of it is read.

        Raises:
            SarlensError: the URL is wrong, not allowed, or leads nowhere.
        """


class Sources:
    """All the places that images may come from, by the scheme of their URLs; ``holder`` takes their own bytes.

    ``public`` names the schemes under which everybody finds the same, since nothing there is asked with credentials.
    """

    def __init__(self, schemes: Mapping[str, Source], holder: Holder, *, public: Collection[str] = ()) -> None:
        self._schemes = dict(schemes)
        self._holder = holder
        self._public = frozenset(public)

    def public(self, place: str | bytes) -> bool:
        """Whether anybody may fetch the image, without credentials."""
        return isinstance(place, str) and scheme(place) in self._public

    async def open(self, place: str | bytes) -> Blob:
        """Open an image where its scheme says that it is.

        Raises:
            SarlensError: the scheme is not one of those offered, or its source refuses.
        """
        if isinstance(place, bytes):
            return await self._holder.hold(place)
        source = self._schemes.get(scheme(place))
        if source is None:
            offered = ", ".join(f"{name}:" for name in self._schemes)
            raise SourceRefused(f"The url of an image has to begin with one of {offered}")
        return await source.open(place)
