"""Decoding of one tile: types, DEFLATE, predictors and byte order, against values computed by hand."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest

from sarlens.imagery.formats.tiff_directories import Order
from sarlens.imagery.formats.tiff_tags import NotPlain
from sarlens.imagery.formats.tiff_tiles import TileFormat

SAMPLES = {
    **{(1, bits): (f"uint{bits}", "12") for bits in (8, 16, 32, 64)},
    **{(2, bits): (f"int{bits}", "12") for bits in (8, 16, 32, 64)},
    **{(3, bits): (f"float{bits}", "123") for bits in (32, 64)},
    (5, 32): ("complex_int16", "1"),
    (6, 64): ("complex64", "1"),
    (6, 128): ("complex128", "1"),
}


def tile(sample: str, shape: tuple[int, int, int], order: Order = "<", predictor: int = 1) -> TileFormat:
    """Return the format of a compressed tile."""
    return TileFormat(sample, order, shape, 8, predictor)


@pytest.mark.parametrize("sample_format", range(7))
@pytest.mark.parametrize("bits", [1, 8, 12, 16, 32, 64, 128])
@pytest.mark.parametrize("predictor", range(5))
def test_plain_combinations(sample_format: int, bits: int, predictor: int) -> None:
    """A type has the predictors that the specification gives it, and none without compression."""
    sample, predictors = SAMPLES.get((sample_format, bits), ("", ""))
    for compression in (1, 5, 8, 32946):
        allowed = "" if compression == 5 else "1" if compression == 1 else predictors
        values = (sample_format, bits, "<", (16, 32, 2), compression, predictor)
        if sample and str(predictor) in allowed:
            found = TileFormat.of(*values)  # type: ignore[arg-type]
            assert found == TileFormat(sample, "<", (16, 32, 2), compression, predictor)
            assert found.nbytes == 16 * 32 * 2 * bits // 8
            assert found.dtype == np.dtype("complex64" if sample == "complex_int16" else sample)
        else:
            with pytest.raises(NotPlain):
                TileFormat.of(*values)  # type: ignore[arg-type]


def test_samples_of_both_byte_orders() -> None:
    """Numbers of two bytes are read in the order of the file, by row, column and sample."""
    for order in ("<", ">"):
        data = zlib.compress(struct.pack(f"{order}8H", *range(1, 9)))
        found = tile("uint16", (2, 2, 2), order).decode(data)
        assert found.tolist() == [[[1, 2], [3, 4]], [[5, 6], [7, 8]]]


def test_complex_integers_become_complex_numbers() -> None:
    """A sample of two integers is a real and an imaginary part."""
    for order in ("<", ">"):
        data = zlib.compress(struct.pack(f"{order}4h", 1, -2, 3, 4))
        found = tile("complex_int16", (1, 2, 1), order).decode(data)
        assert found.tolist() == [[[1 - 2j], [3 + 4j]]]
        assert found.dtype == np.complex64


def test_horizontal_differences() -> None:
    """Each row adds up for itself, each sample for itself, and sums wrap around."""
    data = zlib.compress(struct.pack(">12H", 1, 10, 2, 20, 3, 30, 65535, 0, 2, 1, 5, 65535))
    found = tile("uint16", (2, 3, 2), ">", 2).decode(data)
    assert found.tolist() == [[[1, 10], [3, 30], [6, 60]], [[65535, 0], [1, 1], [6, 0]]]
    assert found.dtype == np.uint16
    bits = struct.pack("<2I", *np.array([1.5, 0.0], np.float32).view(np.uint32))
    assert tile("float32", (1, 2, 1), "<", 2).decode(zlib.compress(bits)).tolist() == [[[1.5], [1.5]]]


def test_differences_of_bytes() -> None:
    """A row has the first bytes of all samples, then the second ones, in big-endian order, as differences."""
    rows = np.array([[[1.5, -2.0], [3.25, 8.0]], [[0.0, 7.0], [1e9, -1e-9]]], np.float32)
    stored = b""
    for row in rows:
        planes = row.astype(">f4").reshape(-1).view(np.uint8).reshape(4, 4).T.reshape(-1)
        pairs = planes.reshape(-1, 2)  # differences are to the byte two samples before
        stored += np.diff(pairs, axis=0, prepend=np.zeros((1, 2), np.uint8)).astype(np.uint8).tobytes()
    for order in ("<", ">"):
        found = tile("float32", (2, 2, 2), order, 3).decode(zlib.compress(stored))
        assert found.tolist() == rows.tolist()


@pytest.mark.parametrize(
    "data",
    [
        zlib.compress(bytes(15)),
        zlib.compress(bytes(17)),
        zlib.compress(bytes(16))[:-1],
        zlib.compress(bytes(16)) + b"\0",
        zlib.compress(bytes(16))[:-1] + b"\xff",
        b"",
        bytes(16),
    ],
)
def test_damaged_tiles(data: bytes) -> None:
    """A tile that is shorter or longer than its samples, or has no sound check sum, is left to GDAL."""
    with pytest.raises(NotPlain):
        tile("uint8", (4, 4, 1)).decode(data)


def test_a_tile_without_compression_has_the_length_of_its_samples() -> None:
    """16 bytes are 4 x 4 samples; 15 and 17 bytes aren't."""
    plain = TileFormat("uint8", "<", (4, 4, 1), 1, 1)
    assert plain.decode(bytes(range(16)))[3, 2, 0] == 14
    for length in (15, 17):
        with pytest.raises(NotPlain):
            plain.decode(bytes(length))
