"""Image chips: small simulated scenes with ground truth, determined by a seed and an index."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, floor

import numpy as np

from sarbench.dataset.release_files import Split
from sarbench.simulate.canvas import Array, Canvas
from sarbench.simulate.geometry import Sensor
from sarbench.simulate.ground_truth import Box, GroundTruth, LabeledBox, SiteDescription
from sarbench.simulate.land_cover import LandCover
from sarbench.simulate.layouts import LAYOUT_VARIANTS, SITE_TYPES, SiteType
from sarbench.simulate.layouts.site import Site
from sarbench.simulate.scene import Scene
from sarlens.prompts.applications import CATEGORIES
from sarlens.types.window import Window

LAND_COVER_GRID = 64
"""Side in cells of the coarse grid on which land cover fractions are measured."""


@dataclass(frozen=True, slots=True, eq=False)
class Chip:
    """A scene of one site with its ground truth."""

    scene: Scene
    truth: GroundTruth

    def sigma0(self) -> Array:
        """Return linear sigma0, float32, shape (size, size)."""
        return self.scene.intensity(self.scene.window)


def chip_rng(seed: int, index: int, split: Split, purpose: int = 0) -> np.random.Generator:
    """Return the random generator of chip ``index``. Generators for different purposes are independent."""
    return np.random.default_rng((seed, index, int(split == "test"), purpose))


def simulate_chip(seed: int, index: int, size: int = 256, split: Split = "train") -> Chip:
    """Return chip ``index`` of the data set identified by ``seed`` and ``split``, ``size`` pixels square.

    Equal arguments give equal chips. Nothing is rendered before ``Chip.sigma0`` is called.
    """
    rng = chip_rng(seed, index, split)
    site_type = int(rng.integers(len(SITE_TYPES)))
    variant = LAYOUT_VARIANTS[split][int(rng.integers(len(LAYOUT_VARIANTS[split])))]
    return build_chip(f"{split}_{index:07d}", site_type, variant, size, rng)


def build_chip(name: str, site_type: int, variant: int, size: int, rng: np.random.Generator) -> Chip:
    """Return a chip of one layout: ``variant`` of ``SITE_TYPES[site_type]``, with contents drawn from ``rng``."""
    log_min, log_max = np.log(SITE_TYPES[site_type].side_range_m)
    side = float(np.exp(rng.uniform(log_min, log_max)))
    site = Site(side, _random_sensor(rng, side / size), np.random.default_rng((site_type, variant)), rng)
    SITE_TYPES[site_type].build(site)
    scene = Scene(int(rng.integers(1 << 62)), size, size, site.sensor, tuple(site.ground), tuple(site.targets))
    return Chip(scene, GroundTruth(name, size, size, labeled_boxes(scene), _describe_site(site, SITE_TYPES[site_type])))


def _random_sensor(rng: np.random.Generator, pixel_spacing_m: float) -> Sensor:
    """Return a random sensor with this pixel spacing, looking from the left or from the right."""
    return Sensor(
        pixel_spacing_m=pixel_spacing_m,
        looks=float(rng.uniform(3, 8)),
        incidence_deg=float(rng.uniform(28, 45)),
        range_sign=1 if rng.integers(2) else -1,
        nesz_db=float(rng.uniform(-30, -25)),
    )


def labeled_boxes(scene: Scene) -> tuple[LabeledBox, ...]:
    """Return the boxes of targets in the six categories that are completely inside the scene, in whole pixels."""
    spacing = scene.sensor.pixel_spacing_m
    boxes = []
    for target in scene.targets:
        extent = target.box_extent(scene.sensor)
        left, top = floor(extent.left / spacing), floor(extent.top / spacing)
        right, bottom = ceil(extent.right / spacing), ceil(extent.bottom / spacing)
        inside = left >= 0 and top >= 0 and right <= scene.cols and bottom <= scene.rows
        if inside and target.category in CATEGORIES:
            boxes.append(LabeledBox(target.category, Box(left, top, right - left, bottom - top)))
    return tuple(boxes)


def _describe_site(site: Site, site_type: SiteType) -> SiteDescription:
    """Return the properties of a site that boxes don't cover. Land cover is measured on a coarse grid."""
    canvas = Canvas(
        Window(0, 0, LAND_COVER_GRID, LAND_COVER_GRID),
        replace(site.sensor, pixel_spacing_m=site.side / LAND_COVER_GRID),
    )
    for layer in site.ground:
        layer.draw(canvas)
    fractions = np.bincount(canvas.land_cover.ravel(), minlength=len(LandCover)) / canvas.land_cover.size
    land_cover = {label.name.lower(): float(fractions[label]) for label in LandCover}
    categories = {target.category for target in site.targets}
    has_marker = site_type.marker_category is None or site_type.marker_category in categories
    building_count = sum(target.category == "building" for target in site.targets)
    return SiteDescription(
        area=site_type.area if has_marker else site_type.area_without_marker,
        land_use=site_type.land_use if has_marker else None,
        land_cover=land_cover,
        building_count=building_count,
        features=tuple(site.features),
        ships_moving=site.ships_moving,
    )
