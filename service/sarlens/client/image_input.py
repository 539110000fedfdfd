"""Images as a caller passes them: URLs, local files or bytes."""

from __future__ import annotations

import asyncio
import os
import re
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import pybase64

from sarlens.client.errors import LocalImageError
from sarlens.types.gdal_path import describe_gdal_path

OneFile: TypeAlias = str | os.PathLike[str] | bytes
"""One file, as in ``ImageInput``."""
ImageInput: TypeAlias = OneFile | Sequence[OneFile]
"""URL (``s3:``, ``https:`` or ``data:``), path of a local file or of a Sentinel-1 product folder, or bytes. A sequence
has the files of an image with one file per band."""

Uploader = Callable[[Path], str]
"""Uploads a file or a product folder to a bucket that the gateway reads, and returns its ``s3://`` URL."""

MAX_INLINE_BYTES = 47 * 2**20
"""Maximum size of a file sent in a request: base64 makes it 4/3 as large, and a gateway takes 64 MiB by default."""

MAX_QUERY_BYTES = 2**20
"""Maximum size of a file sent in the query of a request for a preview."""

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
_HOW_TO_UPLOAD = "upload it to a bucket that the gateway reads and pass its s3:// URL"


async def to_image_urls(
    image: ImageInput, upload: Uploader | None, *, max_inline_bytes: int = MAX_INLINE_BYTES
) -> str | list[str]:
    """Return the URL of an image as ``to_image_url``; of a sequence, the URL of each file.

    Raises:
        LocalImageError: as ``to_image_url``. The files of a sequence share ``max_inline_bytes``.
    """
    if isinstance(image, str | bytes | os.PathLike):
        return await to_image_url(image, upload, max_inline_bytes=max_inline_bytes)
    share = max_inline_bytes // max(1, len(image))
    return [await to_image_url(file, upload, max_inline_bytes=share) for file in image]


async def to_image_url(image: OneFile, upload: Uploader | None, *, max_inline_bytes: int = MAX_INLINE_BYTES) -> str:
    """Return the URL under which the gateway reads a file: its own, a data: URL, or that of the uploaded file.

    Raises:
        LocalImageError: the file can't be read, or is too large to be sent and there is no uploader.
    """
    return await asyncio.to_thread(_to_image_url, image, upload, max_inline_bytes)


async def to_remote_urls(image: ImageInput, upload: Uploader | None) -> str | list[str]:
    """Return the URL of an image that the gateway can read again later; of a sequence, the URL of each file.

    Raises:
        LocalImageError: a file can't be read, or there is no uploader.
    """
    if isinstance(image, str | bytes | os.PathLike):
        return await _to_remote_url(image, upload)
    return [await _to_remote_url(file, upload) for file in image]


async def _to_remote_url(image: OneFile, upload: Uploader | None) -> str:
    if isinstance(image, bytes):
        raise LocalImageError("a survey requires the path or URL of a scene, not its bytes")
    if is_url(image):
        return os.fspath(image)
    return await asyncio.to_thread(_upload, check_local_image(Path(image)), upload)


def is_url(image: OneFile) -> bool:
    """Whether an image is a URL and not a local file."""
    return isinstance(image, str) and _URL.match(image) is not None


def check_local_image(path: Path) -> Path:
    """Make sure that a path is a readable file or a Sentinel-1 product folder; ``~`` is expanded.

    Raises:
        LocalImageError: it isn't.
    """
    if hint := describe_gdal_path(str(path)):
        raise LocalImageError(hint)
    path = path.expanduser()
    try:
        mode = path.stat().st_mode
    except OSError as error:
        hint = "; an image is a file or an s3://, https:// or data: URL" if isinstance(error, FileNotFoundError) else ""
        raise LocalImageError(f"{path}: {error.strerror}{hint}") from None
    if stat.S_ISDIR(mode):
        if not (path / "manifest.safe").is_file():
            raise LocalImageError(f"{path} is a directory, and no Sentinel-1 product: it has no file manifest.safe")
    elif not stat.S_ISREG(mode):
        raise LocalImageError(f"{path} isn't a regular file")
    if not os.access(path, os.R_OK):
        raise LocalImageError(f"{path}: Permission denied")
    return path


def to_data_url(data: bytes) -> str:
    """Return bytes as a data: URL; the gateway detects the format from the bytes."""
    return f"data:application/octet-stream;base64,{pybase64.b64encode(data).decode()}"


def _to_image_url(image: OneFile, upload: Uploader | None, max_inline_bytes: int) -> str:
    if isinstance(image, bytes):
        return to_data_url(image)
    if is_url(image):
        return os.fspath(image)
    path = check_local_image(Path(image))
    is_archive = path.suffix.lower() == ".zip"  # which the gateway recognizes by its URL
    if path.is_dir() or is_archive or (upload is not None and path.stat().st_size > max_inline_bytes):
        return _upload(path, upload)
    try:
        with path.open("rb") as file:
            data = file.read(max_inline_bytes + 1)
    except OSError as error:
        raise LocalImageError(f"{path}: {error.strerror}") from None
    if not data:
        raise LocalImageError(f"{path} is empty")
    if len(data) > max_inline_bytes:
        raise LocalImageError(
            f"{path} is larger than the {_megabytes(max_inline_bytes)} sent in a request; {_HOW_TO_UPLOAD}"
        )
    return to_data_url(data)


def _upload(path: Path, upload: Uploader | None) -> str:
    if upload is None:
        what = "product folder" if path.is_dir() else "ZIP archive" if path.suffix.lower() == ".zip" else "local file"
        raise LocalImageError(f"{path} is a {what}, which the gateway can't read; {_HOW_TO_UPLOAD}")
    return upload(path)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.0f} MB"
