"""The tiles that a window overlaps, and the groups in which they are fetched."""

from __future__ import annotations

import struct

import pytest
from rasterio.windows import Window

from sarlens.imagery.formats.tiff_directories import Directories, Entry, Layout
from sarlens.imagery.formats.tiff_tags import NotPlain, Tags
from sarlens.imagery.formats.tiff_tiles import TileFormat
from sarlens.imagery.formats.tile_table import TilePart, TileTable, batches

MB = 2**20


def table(width: int, height: int, bands: int, shape: tuple[int, int, int], tiles: int) -> TileTable:
    """Return the table of an image whose tile ``n`` has the offset 1000 + n and the length 100 + n."""
    data = struct.pack(f"<{tiles}I{tiles}I", *range(1000, 1000 + tiles), *range(100, 100 + tiles))
    starts = [struct.pack("<I", 4 * tiles * number) for number in range(2)]
    if tiles == 1:
        starts = [data[:4], data[4:]]
    entries = tuple(Entry(324 + number, 4, tiles, starts[number]) for number in range(2))
    tags = Tags(Directories(Layout.of(b"II*\0"), (entries,), True), 0, lambda start, size: data[start : start + size])
    return TileTable(tags, width, height, bands, TileFormat("uint8", "<", shape, 1, 1))


def test_parts_of_tiles() -> None:
    """A window over six of twelve tiles has the rows and columns of each, in the window and in the tile."""
    parts = list(table(60, 90, 1, (32, 16, 1), 12).parts([1], Window(10, 20, 30, 50)))
    assert [(part.offset, part.length) for part in parts] == [
        (1000 + tile, 100 + tile) for tile in (0, 1, 2, 4, 5, 6, 8, 9, 10)
    ]
    assert {part.bands for part in parts if part.bands != slice(None)} == set()
    assert [part.cols for part in parts[:3]] == [
        (slice(0, 6), slice(10, 16)),
        (slice(6, 22), slice(0, 16)),
        (slice(22, 30), slice(0, 8)),
    ]
    assert [part.rows for part in parts[::3]] == [
        (slice(0, 12), slice(20, 32)),
        (slice(12, 44), slice(0, 32)),
        (slice(44, 50), slice(0, 6)),
    ]


def test_bands_by_tile() -> None:
    """If each band has tiles of its own, those of band 3 follow those of bands 1 and 2."""
    parts = list(table(32, 16, 3, (16, 16, 1), 6).parts([3, 1], Window(16, 0, 1, 1)))
    assert [(part.offset, part.bands) for part in parts] == [(1005, 0), (1001, 1)]
    parts = list(table(32, 16, 3, (16, 16, 3), 2).parts([3, 1], Window(15, 0, 2, 1)))
    assert [(part.offset, part.bands) for part in parts] == [(1000, slice(None)), (1001, slice(None))]


@pytest.mark.parametrize(
    ("width", "height", "shape", "tiles"),
    [
        (32, 16, (16, 16, 1), 1),
        (32, 16, (16, 16, 1), 3),
        (33, 16, (16, 16, 1), 2),
        (32, 17, (16, 16, 1), 2),
        (0, 16, (16, 16, 1), 1),
        (16, 0, (16, 16, 1), 1),
        (16, 16, (0, 16, 1), 1),
        (16, 16, (16, 0, 1), 1),
        (16, 16, (24, 16, 1), 1),
        (16, 16, (16, 8, 1), 1),
    ],
)
def test_a_table_of_another_size(width: int, height: int, shape: tuple[int, int, int], tiles: int) -> None:
    """A table must have one entry for each tile, and the sides of a tile are multiples of 16."""
    with pytest.raises(NotPlain):
        table(width, height, 1, shape, tiles)


@pytest.mark.parametrize(
    ("lengths", "groups"),
    [
        ([40 * MB, 24 * MB, 1], [[40 * MB, 24 * MB], [1]]),
        ([40 * MB, 24 * MB + 1, 1], [[40 * MB], [24 * MB + 1, 1]]),
        ([100 * MB, 100 * MB], [[100 * MB], [100 * MB]]),
        ([64 * MB, 0, 0, 1], [[64 * MB, 0, 0], [1]]),
        ([30 * MB] * 5, [[30 * MB] * 2, [30 * MB] * 2, [30 * MB]]),
        ([], []),
    ],
)
def test_groups_are_bounded(lengths: list[int], groups: list[list[int]]) -> None:
    """Tiles of 64 MiB in total are one group; a larger tile is a group of its own."""
    everything = (slice(0, 1), slice(0, 1))
    parts = (TilePart(8, length, slice(None), everything, everything) for length in lengths)
    assert [[part.length for part in group] for group in batches(parts)] == groups
