"""Memory of a million known images, and CPU time of a look-up and of an addition.

.venv/bin/python loadtests/known_images_cost.py
"""

from __future__ import annotations

import argparse
import gc
import hmac
import tracemalloc
from collections.abc import Callable, Sequence
from time import thread_time

from harness import print_machine
from sarlens.workers.image_index import ImageIndex
from sarlens.workers.known_images import KnownImages

_ROUNDS = 7
_SAMPLE = 20_000


def id_of(number: int) -> str:
    """Return an id as the gateway computes it: 64 hexadecimal digits of an HMAC."""
    return hmac.digest(b"secret", number.to_bytes(8), "sha256").hex()


def fill(caches: Sequence[KnownImages], images: int, first: int = 0) -> None:
    """Add images to all caches, 40 to 60 kB each."""
    for number in range(first, first + images):
        image_id = id_of(number)
        for cache in caches:
            cache.add((image_id,), {image_id: 40_000 + number % 20_000})


def memory_mb(images: int, holders: int, workers: int) -> float:
    """Return the MB of an index with images that ``holders`` of ``workers`` hold, as tracemalloc counts them."""
    gc.collect()
    tracemalloc.start()
    index = ImageIndex()
    caches = [KnownImages(images, index) for _ in range(workers)]
    share = images * holders // workers
    for group in range(workers // holders):
        fill(caches[group * holders : (group + 1) * holders], share, group * share)
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return used / 1e6


def nanoseconds(operation: Callable[[str], object], ids: Sequence[str]) -> float:
    """Return the CPU time of an operation on an image, the best of several rounds."""
    times = []
    for _ in range(_ROUNDS):
        fresh = ["".join(list(image_id)) for image_id in ids]  # without a cached hash, as in a request
        began = thread_time()
        for image_id in fresh:
            operation(image_id)
        times.append(thread_time() - began)
    return 1e9 * min(times) / len(ids)


def print_times(images: int) -> None:
    """Print the CPU time of operations on a cache that is full of images."""
    cache = KnownImages(images, ImageIndex())
    fill([cache], images)
    known = [id_of(number) for number in range(min(images, _SAMPLE))]
    unknown = [image_id[::-1] for image_id in known]
    print(f"{images:,} images, CPU time, ns")
    print(f"  is an image known?           {nanoseconds(cache.__contains__, known):8.0f}")
    print(f"  are all of a request's?      {nanoseconds(lambda image_id: cache.has_all((image_id,)), known):8.0f}")
    print(f"  use a known image            {nanoseconds(lambda image_id: cache.add((image_id,), {}), known):8.0f}")
    print(f"  add one, and evict another   {nanoseconds(lambda image_id: cache.add((image_id,), {}), unknown):8.0f}")


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1_000_000)
    args = parser.parse_args()
    print_machine()
    print(f"{args.images:,} images, MB")
    for workers, holders in ((1, 1), (8, 1), (8, 2)):
        print(f"  {workers} workers, each image held by {holders}: {memory_mb(args.images, holders, workers):8.1f}")
    for images in (2048, args.images):
        print_times(images)


if __name__ == "__main__":
    main()
