"""Registry of object sources: the scheme of a URL selects the source."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from sarlens.errors import SourceNotAllowed
from sarlens.imagery.core.object_reader import ObjectReader
from sarlens.imagery.sources.data_url import DataUrlSource
from sarlens.types.caller import CanRead, allow_all
from sarlens.types.gdal_path import describe_gdal_path
from sarlens.types.image_request import ImageLocation, url_scheme, urls_of


class ObjectSource(Protocol):
    """Opens objects of one URL scheme."""

    async def open(self, url: str, can_read: CanRead) -> ObjectReader:
        """Find the object and fix the version that is read.

        Args:
            url: URL that the caller may read.
            can_read: rights of the caller, for URLs to which the first one redirects.

        Raises:
            PermissionDenied: the URL redirects to another one that the caller may not read.
            SarlensError: the URL is invalid or not allowed, or the object can't be opened.
        """


class SourceRegistry:
    """All sources by URL scheme.

    Args:
        schemes: source of each scheme, in lower case and without the colon.
        data_urls: source of images whose bytes came with the request.
        public: schemes that are read without credentials.
    """

    def __init__(
        self, schemes: Mapping[str, ObjectSource], data_urls: DataUrlSource, *, public: Collection[str] = ()
    ) -> None:
        self._schemes = dict(schemes)
        self._data_urls = data_urls
        self._public = frozenset(public)

    def is_public(self, location: ImageLocation) -> bool:
        """Whether anyone can fetch the image, with all its bands, without credentials."""
        urls = urls_of(location)
        return bool(urls) and all(url_scheme(url) in self._public for url in urls)

    async def open(self, location: str | bytes, can_read: CanRead = allow_all) -> ObjectReader:
        """Open an image by its URL, or from its bytes; ``can_read`` is as in ``ObjectSource.open``.

        Raises:
            SourceNotAllowed: the scheme isn't supported, or its source doesn't allow the URL.
            SarlensError: the object can't be opened.
        """
        if isinstance(location, bytes):
            return await self._data_urls.open_bytes(location)
        source = self._schemes.get(url_scheme(location))
        if source is None:
            schemes = ", ".join(f"{name}:" for name in self._schemes)
            raise SourceNotAllowed(
                describe_gdal_path(location) or f"The URL of an image must begin with one of {schemes}"
            )
        return await source.open(location, can_read)
