"""Values of TIFF tags, and GDAL's metadata in one of them."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

from sarlens.imagery.formats.tiff_directories import Directories, Entry, Layout
from sarlens.imagery.formats.tiff_tags import NotPlain, Tags, parse_gdal_metadata

ASCII, SHORT, LONG, LONG8 = 2, 3, 4, 16
FILE = bytes(range(64)) + b"text\0rest" + bytes(4096)


def tags_of(*entries: Entry, head: bytes = b"II*\0") -> Tags:
    """Return the tags of a directory in ``FILE``."""
    return Tags(Directories(Layout.of(head), (entries,), True), 0, lambda start, size: FILE[start : start + size])


def test_short_values_are_in_the_entry_and_long_ones_at_their_offset() -> None:
    """Two numbers of 2 bytes fit into an entry, and three don't; both byte orders and BigTIFF."""
    tags = tags_of(
        Entry(1, SHORT, 2, struct.pack("<HH", 7, 8)),
        Entry(2, SHORT, 3, struct.pack("<I", 10)),
        Entry(3, LONG, 1, struct.pack("<I", 9)),
        Entry(4, LONG, 2, struct.pack("<I", 4)),
    )
    assert tags.integers(1) == (7, 8)
    assert tags.integers(2) == (0x0B0A, 0x0D0C, 0x0F0E)
    assert tags.slice(2, 1, 3) == [0x0D0C, 0x0F0E]
    assert tags.slice(1, 1, 2) == [8]
    assert (tags.integer(3), tags.integers(4)) == (9, (0x07060504, 0x0B0A0908))
    assert tags.numbers == {1, 2, 3, 4}
    assert [tags.count(tag) for tag in (1, 2, 5)] == [2, 3, 0]
    big = tags_of(Entry(1, LONG8, 1, struct.pack(">Q", 2**40)), Entry(2, SHORT, 4, bytes(range(8))), head=b"MM\0+")
    assert (big.integer(1), big.integers(2)) == (2**40, (1, 0x0203, 0x0405, 0x0607))


def test_one_value_is_required() -> None:
    """A missing tag has its default, equal values of all samples are one, and different ones are none."""
    tags = tags_of(Entry(1, SHORT, 2, struct.pack("<HH", 8, 8)), Entry(2, SHORT, 2, struct.pack("<HH", 8, 9)))
    assert (tags.integer(1), tags.integer(9, 5), tags.integer(1, 5), tags.integers(9, (1, 2))) == (8, 5, 8, (1, 2))
    for tag, default in ((2, None), (9, None), (2, 8)):
        with pytest.raises(NotPlain):
            tags.integer(tag, default)


@pytest.mark.parametrize(
    "read",
    [
        lambda: tags_of(Entry(2, SHORT, 1, bytes(4)), Entry(1, SHORT, 1, bytes(4))),
        lambda: tags_of(Entry(1, SHORT, 1, bytes(4)), Entry(1, SHORT, 1, bytes(4))),
        lambda: tags_of(Entry(1, ASCII, 1, bytes(4))).integers(1),
        lambda: tags_of(Entry(1, SHORT, 1025, bytes(4))).integers(1),
        lambda: tags_of(Entry(1, SHORT, 3, struct.pack("<I", len(FILE) - 5))).integers(1),
        lambda: tags_of(Entry(1, SHORT, 1, bytes(4))).text(1),
        lambda: tags_of(Entry(1, ASCII, 2**20 + 1, bytes(4))).text(1),
        lambda: tags_of(Entry(1, ASCII, 2, b"\xff\0\0\0")).text(1),
        lambda: tags_of(Entry(1, ASCII, 6, struct.pack("<I", len(FILE) - 5))).text(1),
    ],
)
def test_what_only_gdal_reads(read: Callable[[], object]) -> None:
    """Unsorted or repeated tags, other types, too many values, and values past the end of the file aren't plain."""
    with pytest.raises(NotPlain):
        read()


def test_values_at_the_limits() -> None:
    """1,024 numbers are read, and those at the end of the file; a text ends at its first NUL."""
    assert len(tags_of(Entry(1, SHORT, 1024, struct.pack("<I", 100))).integers(1)) == 1024
    assert tags_of(Entry(1, SHORT, 3, struct.pack("<I", len(FILE) - 6))).integers(1) == (0, 0, 0)
    assert tags_of(Entry(1, ASCII, 9, struct.pack("<I", 64))).text(1) == "text"
    assert tags_of(Entry(1, ASCII, 4, b"abcd")).text(1) == "abcd"
    assert tags_of(Entry(1, ASCII, 2, b"a\0zz")).text(1) == "a"
    assert tags_of().text(1) == ""


def metadata(*items: str) -> str:
    """Return the text of the tag."""
    return f"<GDALMetadata>\n  {''.join(items)}\n</GDALMetadata>"


def test_items_are_those_of_the_image_or_a_band() -> None:
    """An item with a sample is one of a band, a description names the band, and entities are replaced once more."""
    text = metadata(
        '<Item name="SATELLITE">S1A</Item>',
        '<Item name="a.b-c_1" sample="1">1 &amp;lt; 2 &amp;amp;amp; &amp;quot;x&amp;quot; &amp;apos;&amp;gt;</Item>',
        '<Item name="DESCRIPTION" sample="0" role="description">VV</Item>',
        '<Item name="DESCRIPTION" sample="1" role="description">VH</Item>',
    )
    parsed = parse_gdal_metadata(text, 2)
    assert parsed.tags == {"SATELLITE": "S1A"}
    assert parsed.band_tags == ({}, {"a.b-c_1": '1 < 2 &amp; "x" \'>'})
    assert parsed.descriptions == ("VV", "VH")
    assert parse_gdal_metadata("", 2) == ({}, ({}, {}), (None, None))
    assert parse_gdal_metadata(metadata(f'<Item name="{"n" * 200}">1</Item>'), 1).tags == {"n" * 200: "1"}


@pytest.mark.parametrize(
    "text",
    [
        "<GDALMetadata>",
        "<Metadata></Metadata>",
        "<!DOCTYPE x><GDALMetadata></GDALMetadata>",
        metadata('<Item name="a">1</Item> words'),
        "<GDALMetadata>words</GDALMetadata>",
        metadata('<Entry name="a">1</Entry>'),
        metadata('<Item name="a"><b/></Item>'),
        metadata('<Item name="a" domain="X">1</Item>'),
        metadata("<Item>1</Item>"),
        metadata('<Item name="a b">1</Item>'),
        metadata(f'<Item name="{"n" * 201}">1</Item>'),
        metadata('<Item name="TIFFTAG_SOFTWARE">1</Item>'),
        metadata('<Item name="tifftag_software">1</Item>'),
        metadata('<Item name="a" sample="2">1</Item>'),
        metadata('<Item name="a" sample="-1">1</Item>'),
        metadata('<Item name="a" sample="x">1</Item>'),
        metadata('<Item name="a" sample="\u00b2">1</Item>'),
        metadata('<Item name="a" sample="10000000000000000000000">1</Item>'),
        metadata('<Item name="SCALE" sample="0" role="scale">2</Item>'),
        metadata('<Item name="DESCRIPTION" role="description">VV</Item>'),
        metadata('<Item name="D" sample="0" role="description">VV</Item>' * 2),
        metadata('<Item name="a">1</Item><Item name="A">2</Item>'),
        metadata('<Item name="a" sample="0">1</Item><Item name="a" sample="0">1</Item>'),
        metadata('<Item name="a"></Item>'),
        metadata('<Item name="a"> 1</Item>'),
        metadata('<Item name="a">1 </Item>'),
        metadata('<Item name="a">1\n2</Item>'),
        metadata('<Item name="a">\u00e4</Item>'),
        metadata('<Item name="a">1 &amp; 2</Item>'),
        metadata('<Item name="a">&amp;nbsp;</Item>'),
        metadata('<Item name="D" sample="0" role="description"></Item>'),
    ],
)
def test_metadata_that_gdal_alone_reads(text: str) -> None:
    """XML of another form, unknown roles, repeated names, and texts that GDAL would change aren't plain."""
    with pytest.raises(NotPlain):
        parse_gdal_metadata(text, 2)


def test_names_repeat_in_different_bands() -> None:
    """The image and each band have names of their own."""
    text = metadata('<Item name="a">1</Item><Item name="a" sample="0">2</Item><Item name="a" sample="1">3</Item>')
    parsed = parse_gdal_metadata(text, 2)
    assert (parsed.tags, parsed.band_tags) == ({"a": "1"}, ({"a": "2"}, {"a": "3"}))
