"""One training image: a small scene and its truth, made in memory from two numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, floor

import numpy as np

from sarbench.dataset.layout import Split
from sarbench.simulate.canvas import Array, Canvas
from sarbench.simulate.geometry import Sensor
from sarbench.simulate.landcover import LandCover
from sarbench.simulate.layouts import KINDS, VARIANTS, Kind
from sarbench.simulate.layouts.site import Site
from sarbench.simulate.scene import Scene
from sarbench.simulate.truth import Box, Place, Seen, Truth
from sarlens.prompts.applications import CATEGORIES
from sarlens.request import Window

COVER_GRID = 64
"""Side in cells of the coarse grid on which land cover is measured."""


@dataclass(frozen=True, slots=True, eq=False)
class Chip:
    """A scene of one site, and what is known of it."""

    scene: Scene
    truth: Truth

    def sigma0(self) -> Array:
        """Linear sigma0, float32, shape (size, size)."""
        return self.scene.intensity(self.scene.window)


def generator(seed: int, index: int, split: Split, purpose: int = 0) -> np.random.Generator:
    """Random numbers of chip ``index``; those for different purposes are independent."""
    return np.random.default_rng((seed, index, int(split == "test"), purpose))


def simulate_chip(seed: int, index: int, size: int = 256, split: Split = "train") -> Chip:
    """Chip number ``index`` of the data set that ``seed`` and ``split`` name, ``size`` pixels square.

    Nothing is rendered until ``Chip.sigma0``. The same arguments give the same chip.
    """
    rng = generator(seed, index, split)
    kind = int(rng.integers(len(KINDS)))
    variant = VARIANTS[split][int(rng.integers(len(VARIANTS[split])))]
    return build_chip(f"{split}_{index:07d}", kind, variant, size, rng)


def build_chip(name: str, kind: int, variant: int, size: int, rng: np.random.Generator) -> Chip:
    """A chip of one layout: number ``variant`` of kind number ``kind`` of ``KINDS``, filled by ``rng``."""
    least, most = np.log(KINDS[kind].side)
    side = float(np.exp(rng.uniform(least, most)))
    site = Site(side, _sensor(rng, side / size), np.random.default_rng((kind, variant)), rng)
    KINDS[kind].lay(site)
    scene = Scene(int(rng.integers(1 << 62)), size, size, site.sensor, tuple(site.ground), tuple(site.targets))
    return Chip(scene, Truth(name, size, size, boxes(scene), _place(site, KINDS[kind])))


def _sensor(rng: np.random.Generator, spacing: float) -> Sensor:
    """A radar of ``spacing`` metres, looking from either side."""
    return Sensor(
        spacing=spacing,
        looks=float(rng.uniform(3, 8)),
        incidence=float(rng.uniform(28, 45)),
        away=1 if rng.integers(2) else -1,
        noise=float(rng.uniform(-30, -25)),
    )


def boxes(scene: Scene) -> tuple[Seen, ...]:
    """The targets of the six categories that lie wholly inside the scene, in whole pixels."""
    spacing = scene.sensor.spacing
    found = []
    for target in scene.targets:
        extent = target.outline(scene.sensor)
        left, top = floor(extent.left / spacing), floor(extent.top / spacing)
        right, bottom = ceil(extent.right / spacing), ceil(extent.bottom / spacing)
        inside = left >= 0 and top >= 0 and right <= scene.cols and bottom <= scene.rows
        if inside and target.category in CATEGORIES:
            found.append(Seen(target.category, Box(left, top, right - left, bottom - top)))
    return tuple(found)


def _place(site: Site, kind: Kind) -> Place:
    """What can be said of the site beside its boxes; land cover is measured on a coarse grid."""
    canvas = Canvas(Window(0, 0, COVER_GRID, COVER_GRID), replace(site.sensor, spacing=site.side / COVER_GRID))
    for layer in site.ground:
        layer.draw(canvas)
    shares = np.bincount(canvas.cover.ravel(), minlength=len(LandCover)) / canvas.cover.size
    cover = {label.name.lower(): float(shares[label]) for label in LandCover}
    there = {target.category for target in site.targets}
    marked = kind.mark is None or kind.mark in there
    buildings = sum(target.category == "building" for target in site.targets)
    return Place(
        area=kind.area if marked else kind.otherwise,
        use=kind.use if marked else None,
        cover=cover,
        buildings=buildings,
        features=tuple(site.features),
        moving=site.moving,
    )
