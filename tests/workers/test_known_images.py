"""The index of the images in a worker's cache."""

from __future__ import annotations

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from sarlens.workers.image_index import ImageIndex
from sarlens.workers.known_images import KnownImages


def test_the_index_is_bounded() -> None:
    """The least recently used image is dropped first; a second use keeps an image."""
    known = KnownImages(2, ImageIndex())
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
    known = KnownImages(9, ImageIndex())
    known.add(["a", "b"], {"a": 100, "b": 7})
    known.add(["a"], {})
    assert known.total_bytes(["a", "b", "unknown"]) == 107
    known.add(["a"], {"a": 120})
    assert known.total_bytes(["a"]) == 120
    known.add(["c"], {})
    assert known.total_bytes(["c"]) == 0


def test_all_images_of_a_request_must_be_known() -> None:
    """A request is a cache hit only if the worker holds every image of it."""
    known = KnownImages(9, ImageIndex())
    known.add(["a"], {})
    assert known.has_all(["a"])
    assert not known.has_all(["a", "b"])
    assert known.has_all([])


def ids(count: int) -> list[str]:
    """Return different image ids."""
    return [f"image {number}" for number in range(count)]


@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["add", "discard", "clear"]), st.integers(0, 2), st.integers(0, 7)), max_size=80
    ),
    max_images=st.integers(0, 5),
)
def test_the_index_has_exactly_the_images_of_all_workers(steps: list[tuple[str, int, int]], max_images: int) -> None:
    """Whatever three workers receive, lose and evict, each look-up says the same, and no worker exceeds its maximum."""
    index, images = ImageIndex(), ids(8)
    caches = [KnownImages(max_images, index) for _ in range(3)]
    received = [dict[str, int]() for _ in caches]
    for size, (step, worker, number) in enumerate(steps, start=1):
        cache, image = caches[worker], images[number]
        match step:
            case "add":
                cache.add([image], {image: size})
                assert (image in cache) == (max_images > 0)
                received[worker][image] = size
            case "discard":
                cache.discard([image])
                assert image not in cache
            case _:
                cache.clear()
                assert len(cache) == 0
    for image in images:
        holders = {cache.worker for cache in caches if image in cache}
        assert index.holders(image) == index.holders_or_receivers(image) == holders
        for cache, sizes in zip(caches, received, strict=True):
            assert cache.has_all([image]) == (cache.worker in holders)
            assert cache.total_bytes([image]) == (sizes[image] if image in cache else 0)
    for cache in caches:
        assert len(cache) == sum(image in cache for image in images) <= max_images


def test_entries_of_a_restarted_worker_are_removed_a_few_at_a_time() -> None:
    """A worker that restarts holds nothing at once; each of the next 25 images removes four of its 100 entries."""
    index = ImageIndex()
    restarted, other = KnownImages(100, index), KnownImages(100, index)
    restarted.add(ids(100), {})
    restarted.clear()
    assert index.holders("image 7") == set()
    assert len(index.entries) == 100
    other.add([f"other {number}" for number in range(10)], {})
    assert len(index.entries) == 100 - 40 + 10
    other.add([f"other {number}" for number in range(25)], {})
    assert len(index.entries) == 25
    assert index.holders("other 7") == {other.worker}


def test_a_worker_that_is_gone_adds_nothing() -> None:
    """A response of a worker that left discovery records no image, since no request will go there."""
    index = ImageIndex()
    gone = KnownImages(9, index)
    gone.add(["a"], {"a": 1})
    gone.close()
    gone.add(["a", "b"], {"a": 1})
    assert (len(gone), gone.total_bytes(["a"]), index.holders("a")) == (0, 0, set())


def test_an_eviction_takes_a_bounded_number_of_steps() -> None:
    """If all images were used, the eviction passes by 64 of them and takes the next one."""
    known = KnownImages(100, ImageIndex())
    known.add(ids(100), {})
    known.add(ids(100), {})
    known.add(["new"], {})
    assert [number for number, image in enumerate(ids(100)) if image not in known] == [64]


def test_a_worker_expects_an_image_once_for_each_request() -> None:
    """Two requests carry an image to a worker; it is expected there, and nowhere else, until both have settled."""
    index = ImageIndex()
    receiving, other = KnownImages(9, index), KnownImages(9, index)
    receiving.expect(["a"])
    receiving.expect(["a"])
    receiving.clear()
    receiving.settle(["a"])
    assert (receiving.has_or_expects("a"), other.has_or_expects("a"), "a" in receiving) == (True, False, False)
    assert (index.holders_or_receivers("a"), index.holders("a")) == ({receiving.worker}, set())
    receiving.settle(["a"])
    assert index.holders_or_receivers("a") == set()


def test_memory_of_known_images() -> None:
    """Each of 50,000 images that one worker holds takes at most 140 bytes."""
    tracemalloc.start()
    try:
        known = KnownImages(50_000, ImageIndex())
        for number in range(50_000):
            image = f"{number:064x}"
            known.add((image,), {image: 40_000 + number})
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert used / 50_000 <= 140
