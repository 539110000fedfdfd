"""Formats that the gateway doesn't read: how they begin, and what to do instead."""

from __future__ import annotations

_UNPACK_ZIP = (
    "unpack it, and use the URL of the .SAFE folder or of an image in it; "
    "the URL of an archive of a Sentinel-1 product must end in .zip"
)
_GDAL = "convert it to GeoTIFF, for example with gdal_translate"
_FORMATS: tuple[tuple[bytes, str, str], ...] = (
    (b"PK\x03\x04", "a ZIP archive", _UNPACK_ZIP),
    (b"\x1f\x8b", "a gzip file", "unpack it, and use the URL of an image in it"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it, and use the URL of an image in it"),
    (b"\x89HDF\r\n\x1a\n", "HDF5 or NetCDF 4", f"{_GDAL} from one of its layers"),
    (b"CDF\x01", "NetCDF", f"{_GDAL} from one of its layers"),
    (b"CDF\x02", "NetCDF", f"{_GDAL} from one of its layers"),
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n", "JPEG 2000", _GDAL),
    (b"\xff\x4f\xff\x51", "JPEG 2000", _GDAL),
    (b"PRODUCT=", "an ENVISAT or ERS product", _GDAL),
)
"""First bytes, name and way out. Sources: the specifications of the formats; for CEOS, its record header."""
_CEOS_RECORD, _CEOS_TYPES = b"\x00\x00\x00\x01", b"\xc0\x12\x12"
"""A CEOS file begins with record 1; its last three type codes are 192, 18 and 18."""


def describe_foreign(head: bytes) -> str | None:
    """Return the format of a file by its first bytes, with the way out; None if it is unknown."""
    for magic, name, way_out in _FORMATS:
        if head.startswith(magic):
            return f"is {name}, which isn't supported: {way_out}."
    if head.startswith(_CEOS_RECORD) and head[5:8] == _CEOS_TYPES:
        return f"is a CEOS file, such as ALOS PALSAR or ERS, which isn't supported: {_GDAL}."
    return None
