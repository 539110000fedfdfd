"""rio-tiler behind standard input and output, for ``tile_cost.py``; it runs in an environment of its own.

Each line is a JSON object with ``path``, ``z``, ``x``, ``y``, ``resampling``, ``keep_open`` and ``range``. The answer
has the CPU and wall time in seconds, and the PNG in base64, which is empty outside the scene.
"""

from __future__ import annotations

import base64
import json
import sys
import time
from contextlib import nullcontext
from functools import cache
from typing import Any

from rio_tiler.errors import TileOutsideBounds
from rio_tiler.io import Reader


@cache
def kept_open(path: str) -> Reader:
    """Return a reader that stays open, and with it GDAL's cache of blocks."""
    return Reader(path)


def render(task: dict[str, Any]) -> bytes:
    """Read and encode a tile; unless the file is kept open, it is opened as for each request to titiler."""
    resampling = task["resampling"]
    keep = nullcontext(kept_open(task["path"])) if task["keep_open"] else Reader(task["path"])
    with keep as reader:
        image = reader.tile(
            task["x"], task["y"], task["z"], indexes=1, resampling_method=resampling, reproject_method=resampling
        )
        image.rescale(in_range=(tuple(task["range"]),))
        return bytes(image.render(img_format="PNG"))


def main() -> None:
    """Answer each line."""
    for line in sys.stdin:
        task = json.loads(line)
        cpu, wall = time.process_time(), time.perf_counter()
        try:
            data = render(task)
        except TileOutsideBounds:
            data = b""
        seconds = time.process_time() - cpu, time.perf_counter() - wall
        answer = {"cpu_s": seconds[0], "wall_s": seconds[1], "png": base64.b64encode(data).decode()}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


main()
