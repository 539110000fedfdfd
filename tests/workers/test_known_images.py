"""The index of the images in a worker's cache."""

from __future__ import annotations

from sarlens.workers.known_images import KnownImages


def test_the_index_is_bounded() -> None:
    """The least recently used image is dropped first; a second use keeps an image."""
    known = KnownImages(2)
    known.add(["a", "b"], {})
    known.add(["a"], {})
    known.add(["c"], {})
    assert [image_id in known for image_id in "abc"] == [True, False, True]
    known.discard(["a", "unknown"])
    assert len(known) == 1
    known.clear()
    assert len(known) == 0


def test_sizes_are_kept_when_the_bytes_are_not_sent_again() -> None:
    """The size of an image is that of its last transfer; images that were never sent count 0 bytes."""
    known = KnownImages(9)
    known.add(["a", "b"], {"a": 100, "b": 7})
    known.add(["a"], {})
    assert known.total_bytes(["a", "b", "unknown"]) == 107
    known.add(["a"], {"a": 120})
    assert known.total_bytes(["a"]) == 120
    known.add(["c"], {})
    assert known.total_bytes(["c"]) == 0


def test_all_images_of_a_request_must_be_known() -> None:
    """A request is a cache hit only if the worker holds every image of it."""
    known = KnownImages(9)
    known.add(["a"], {})
    assert known.has_all(["a"])
    assert not known.has_all(["a", "b"])
    assert known.has_all([])
