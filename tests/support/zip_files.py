"""ZIP archives of Sentinel-1 products."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping

ROOT = "S1A_X.SAFE/"
"""Folder of the product in an archive."""


def packed(
    files: Mapping[str, bytes], method: int = zipfile.ZIP_STORED, *, root: str = ROOT, zip64: bool = False
) -> bytes:
    """A ZIP archive of files in a folder; with ``zip64``, the local headers have Zip64 sizes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr(zipfile.ZipInfo(root), b"")
        for path, data in files.items():
            info = zipfile.ZipInfo(root + path)
            info.compress_type = method
            with archive.open(info, "w", force_zip64=zip64) as file:
                file.write(data)
    return buffer.getvalue()
