"""Paths of GDAL's virtual file systems, which callers copy from QGIS and gdalinfo in place of URLs."""

from __future__ import annotations

import re
from urllib.parse import parse_qs

GDAL_PREFIX = "/vsi"
"""Start of the paths of GDAL's virtual file systems."""
_COLLAPSED = re.compile("^https:/+")
"""Start of an https: URL, of which a path of the operating system keeps one slash."""
_SCHEMES = ("s3://", "https://")
_MAX_SHOWN = 500
"""Characters of a URL in a message."""


def describe_gdal_path(path: str) -> str | None:
    """Return a sentence that names the URL to use in place of a path of GDAL; None if the text isn't such a path.

    The URL has no query, which can hold a signature.
    """
    if not path.startswith(GDAL_PREFIX):
        return None
    url = (_to_url(path) or "").partition("?")[0]
    use = url if url.startswith(_SCHEMES) and len(url) <= _MAX_SHOWN else "an s3://BUCKET/KEY or https: URL"
    return f"A path of GDAL isn't a URL. Use {use}"


def _to_url(path: str) -> str | None:
    """Return the URL of the object that a path reads, or of its ZIP archive; None for other file systems.

    Source: GDAL Virtual File Systems, https://gdal.org/en/stable/user/virtual_file_systems.html
    """
    system, _, rest = path.removeprefix("/").partition("/")
    system, _, options = system.partition("?")
    match system.removesuffix("_streaming"):
        case "vsis3":
            return f"s3://{rest}"
        case "vsicurl" if options:
            return next(iter(parse_qs(options, max_num_fields=32).get("url", [])), None)
        case "vsicurl":
            return _COLLAPSED.sub("https://", rest)
        case "vsizip":
            return _archive_url(rest)
    return None


def _archive_url(path: str) -> str | None:
    """Return the URL of a ZIP archive from its path, in braces or followed by the path of a member."""
    if path.startswith("{"):
        archive = path[1:].partition("}")[0]
    else:
        end = path.lower().find(".zip")
        archive = path if end < 0 else path[: end + len(".zip")]
    return _to_url(f"/{archive.lstrip('/')}")
