"""CPU milliseconds of the native kernels and of NumPy, in turns: speckle filters, stretch and PNG.

.venv/bin/python loadtests/kernel_speed.py
"""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from statistics import median
from time import thread_time
from typing import Any, get_args

import numpy as np
from PIL import Image

from harness import print_machine
from sarlens.imagery.core.raster import Quantity, Raster
from sarlens.imagery.render import kernels
from sarlens.imagery.render.png import encode_png
from sarlens.imagery.render.speckle import despeckle
from sarlens.imagery.render.stretch import stretch
from sarlens.types.render_params import Filter
from sarlens.types.window import Window

ROUNDS = 15
SIDES = (448, 512, 1024)


def speckled_raster(side: int, quantity: Quantity, *, masked: bool) -> Raster:
    """Return four-look speckle; if ``masked``, the first tenth of rows and columns is invalid."""
    power = np.random.default_rng(0).gamma(4, size=(side, side)).astype(np.float32)
    valid = np.ones(power.shape, dtype=bool)
    if masked:
        valid[: side // 10], valid[:, : side // 10] = False, False
    pixels = np.where(valid, power if quantity is Quantity.INTENSITY else 10 * np.log10(power), np.float32(0))
    return Raster(pixels[np.newaxis].astype(np.float32), valid, ("1",), quantity, Window(0, 0, side, side))


def grey_image(side: int) -> Image.Image:
    """Return stretched speckle as a grayscale image."""
    return Image.fromarray(stretch(speckled_raster(side, Quantity.DECIBEL, masked=False), (2, 98)).pixels[0])


def compare(name: str, fast: Callable[[], Any], slow: Callable[[], Any]) -> None:
    """Run two functions in turns and print a row of medians."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for function, row in zip((fast, slow), seconds, strict=True):
            started = thread_time()
            function()
            row.append(thread_time() - started)
    new, old = (1e3 * median(row) for row in seconds)
    low, high = 1e3 * min(seconds[0]), 1e3 * max(seconds[0])
    print(f"| {name} | {new:.2f} ({low:.2f} to {high:.2f}) | {old:.2f} | {old / new:.1f} |")


def numpy_only(function: Callable[[], Any]) -> Callable[[], Any]:
    """Return a function that runs without native kernels."""

    def run() -> None:
        kernels.NATIVE = False
        try:
            function()
        finally:
            kernels.NATIVE = True

    return run


def pillow_png(image: Image.Image) -> bytes:
    """Encode with Pillow at its lowest compression level."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def main() -> None:
    """Print the table."""
    if not kernels.NATIVE:
        raise SystemExit("The native kernels aren't installed: reinstall the package on a machine with a C compiler.")
    print_machine()
    print("| step | native, ms | NumPy or Pillow, ms | ratio |\n|---|---|---|---|")
    names: list[Filter] = [name for name in get_args(Filter) if name != "none"]
    for side in SIDES:
        for name in names:
            for masked in (False, True):
                raster = speckled_raster(side, Quantity.INTENSITY, masked=masked)
                run: Callable[[], Any] = partial(despeckle, raster, name)
                compare(f"{name}, {side}²{', a tenth invalid' if masked else ''}", run, numpy_only(run))
        decibels = speckled_raster(side, Quantity.DECIBEL, masked=False)
        run = partial(stretch, decibels, (2, 98))
        compare(f"stretch, {side}²", run, numpy_only(run))
    for side in (256, 448):
        image = grey_image(side)
        compare(f"PNG, {side}²", partial(encode_png, image), partial(pillow_png, image))


if __name__ == "__main__":
    main()
