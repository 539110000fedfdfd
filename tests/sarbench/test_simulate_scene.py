"""Scenes: what is drawn is what the truth says, it obeys the geometry of radar, and windows never show a seam."""

from __future__ import annotations

from dataclasses import replace
from math import pi
from typing import Literal

import numpy as np
import pytest

from sarbench.simulate.canvas import Canvas, Drawn
from sarbench.simulate.chip import boxes, simulate_chip
from sarbench.simulate.geometry import Sensor
from sarbench.simulate.ground import Blob, Block, Parcels, Plain, Strip
from sarbench.simulate.landcover import BACKSCATTER, LandCover, Polarisation
from sarbench.simulate.layouts import VARIANTS
from sarbench.simulate.layouts.region import region
from sarbench.simulate.scene import Scene
from sarbench.simulate.targets import Target
from sarbench.simulate.targets.aircraft import Aircraft
from sarbench.simulate.targets.bridge import Bridge
from sarbench.simulate.targets.building import Building
from sarbench.simulate.targets.car import Car
from sarbench.simulate.targets.harbor import Harbor
from sarbench.simulate.targets.ship import Ship
from sarbench.simulate.targets.tank import Tank
from sarlens.prompts.applications import CATEGORIES
from sarlens.request import Window

SIDE = 128
WHOLE = Window(0, 0, SIDE, SIDE)
ONE_OF_EACH: dict[str, Target] = {
    "ship": Ship(64, 60, 40, 8, 0.7),
    "bridge": Bridge((40, 50), (90, 70), 6),
    "tank": Tank(60, 64, 12, 8),
    "aircraft": Aircraft(64, 64, 36, 34, 2.0),
    "car": Car(64, 64, 0.3, 4.0),
    "harbor": Harbor(60, 70, 44, 20, 2.9, 3),
}


def scene(*layers: Target, ground: Drawn | None = None, away: Literal[1, -1] = 1) -> Scene:
    """One square of ground with a few targets."""
    base = Plain(LandCover.WATER) if ground is None else ground
    return Scene(1, SIDE, SIDE, Sensor(1.0, 4.0, 40.0, away), [base], list(layers))


@pytest.mark.parametrize("away", [1, -1])
@pytest.mark.parametrize("category", CATEGORIES)
def test_a_box_holds_its_target_and_no_more(category: str, away: Literal[1, -1]) -> None:
    """The pixels that a target lights up fill its box from edge to edge and hardly pass it."""
    target = ONE_OF_EACH[category]
    drawn = scene(target, away=away)
    (seen,) = boxes(drawn)
    canvas = drawn.drawn(WHOLE)
    rows, cols = np.nonzero(canvas.coherent > 0.25)
    found = (cols.min(), rows.min(), cols.max() + 1, rows.max() + 1)
    box = (seen.box.x, seen.box.y, seen.box.x + seen.box.width, seen.box.y + seen.box.height)
    assert seen.category == category
    # Sidelobes and the echo under a bridge pass the box by some pixels; the far side of a tank's foot is hidden.
    assert np.abs(np.subtract(found, box)).max() <= (9 if category == "tank" else 6)
    inside = canvas.coherent[int(box[1]) : int(box[3]), int(box[0]) : int(box[2])]
    assert inside.sum() > 0.85 * canvas.coherent.sum()


@pytest.mark.parametrize("away", [1, -1])
@pytest.mark.parametrize("target", [Building(64, 64, 30, 20, 10), Tank(64, 64, 12, 9)])
def test_what_stands_up_leans_towards_the_radar_and_throws_its_shadow_behind(
    target: Target, away: Literal[1, -1]
) -> None:
    """Layover is bright on the near side, shadow is dark on the far side, whichever way the radar looks."""
    drawn = scene(target, ground=Plain(LandCover.GRASS), away=away).drawn(WHOLE)
    row = (drawn.clutter + drawn.coherent)[64][::away]
    grass = np.median(drawn.clutter)
    near, far = row[: SIDE // 2], row[SIDE // 2 :]
    assert near.max() > 20 * grass
    assert far.min() < 0.4 * grass < near.min()


def test_a_strong_point_shows_the_cross_of_sidelobes() -> None:
    """Sidelobes run along range and azimuth, below the peak by more than 13 dB, and leave the diagonal dark."""
    canvas = Canvas(WHOLE, Sensor(1.0))
    canvas.point(64.5, 64.5, 20.0)
    power = canvas.coherent
    assert power[64, 64] == power.max()
    beside = power[64, 66:73].max()
    assert power[66:73, 64].max() == pytest.approx(beside, rel=1e-5)
    assert beside < power.max() * 10**-1.3
    assert np.diag(power)[66:73].max() < 0.1 * beside


def test_a_wake_is_dark_between_two_bright_arms() -> None:
    """Behind a ship under way the water is dark in the middle and bright along the Kelvin angle of 19.5 degrees."""
    calm, moving = (scene(Ship(100, 64, 20, 4, 0.0, (), wake)).drawn(WHOLE).clutter for wake in (False, True))
    ratio = moving[:, 50] / calm[:, 50]
    astern = (100 - 10) - 50.5
    arm = 64 + round(astern * np.tan(np.radians(19.47)) + 2)
    assert ratio[64] < 0.7
    assert ratio[arm - 1 : arm + 2].max() > 1.5
    assert ratio[10] == pytest.approx(1.0)


@pytest.mark.parametrize("cover", list(LandCover))
@pytest.mark.parametrize("polarisation", ["VV", "VH"])
def test_land_covers_scatter_as_their_table_says(cover: LandCover, polarisation: Polarisation) -> None:
    """The mean over a large scene is the table's sigma0 plus the radar's own noise, to half a decibel."""
    sensor = Sensor(0.1, 4.0, 35.0)
    drawn = Scene(3, 512, 512, sensor, [Plain(cover)], []).intensity(Window(0, 0, 512, 512), polarisation)
    entry = BACKSCATTER[cover]
    level = entry.vv if polarisation == "VV" else entry.vh
    expected = 10 * np.log10(10 ** (level / 10) + 10 ** (sensor.noise / 10))
    assert 10 * np.log10(drawn.mean()) == pytest.approx(expected, abs=0.5)


def test_far_range_is_darker() -> None:
    """Water loses power with incidence, towards the right or the left as the radar looks."""
    for away in (1, -1):
        wide = Scene(3, 16, 256, replace(Sensor(600.0, 50.0), away=away), [Plain(LandCover.WATER)], [])
        columns = wide.intensity(wide.window).mean(axis=0)[::away]
        assert columns[:64].mean() > 1.3 * columns[-64:].mean()


def test_complex_amplitude_is_one_look_of_the_same_ground() -> None:
    """The power of a single-look complex image has the mean of sigma0 and as much spread as mean."""
    field = Scene(3, 256, 256, Sensor(1.0, 4.0), [Plain(LandCover.CROP)], [])
    power = np.abs(field.amplitude(field.window).astype(np.complex128)) ** 2
    assert power.mean() == pytest.approx(field.intensity(field.window).mean(), rel=0.05)
    assert power.mean() ** 2 / power.var() == pytest.approx(1.0, abs=0.08)


LAYERS: list[Drawn] = [
    Parcels(0, 0, 30, 20, 0.4, 7),
    Strip(LandCover.WATER, 60, 60, 0.8, 22, ((6, 60, 1.0),)),
    Blob(LandCover.FOREST, 30, 100, 20, ((0.2, 1.0), (0.1, 2.0))),
    Block(LandCover.ASPHALT, 100, 100, 40, 20, 0.3),
]


@pytest.mark.parametrize("window", [Window(0, 0, 64, 64), Window(37, 41, 60, 55), Window(120, 3, 8, 125)])
def test_any_window_equals_that_part_of_the_whole(window: Window) -> None:
    """A scene rendered in blocks is the scene rendered at once, bit for bit, with every kind of ground and target."""
    targets: list[Target] = [
        *ONE_OF_EACH.values(),
        Building(90, 30, 20, 12, 6, 0.3),
        Ship(30, 30, 16, 4, 1.0, under_way=True),
    ]
    for away in (1, -1):
        full = Scene(8, SIDE, SIDE, replace(Sensor(1.0, 3.0), away=away), LAYERS, targets)
        part = (slice(window.row, window.row + window.height), slice(window.col, window.col + window.width))
        assert np.array_equal(full.intensity(WHOLE)[part], full.intensity(window))
        assert np.array_equal(full.amplitude(WHOLE)[part], full.amplitude(window))


def test_blocks_of_a_region_meet_without_a_seam() -> None:
    """Two overlapping windows deep inside a scene of 20,000 by 20,000 pixels agree bit for bit."""
    coast = region(4, 20_000, 20_000, 10.0)
    one = coast.intensity(Window(7_900, 9_000, 300, 300))
    other = coast.intensity(Window(8_000, 9_100, 300, 300))
    assert np.array_equal(one[100:, 100:], other[:200, :200])


def test_a_region_has_what_its_spacing_can_show() -> None:
    """Ten metres show ships, harbours and bridges; two metres show tanks and aircraft too."""
    coarse = {seen.category for seen in boxes(region(1, 5120, 5120, 10.0))}
    fine = {seen.category for seen in boxes(region(1, 5120, 5120, 2.0))}
    assert coarse == {"ship", "harbor", "bridge"}
    assert fine == coarse | {"tank", "aircraft"}


def test_chips_depend_on_seed_index_and_split_alone() -> None:
    """The same three numbers give the same pixels and truth; changing any of them gives another chip."""
    first = simulate_chip(1, 2, 128)
    again = simulate_chip(1, 2, 128)
    assert np.array_equal(first.sigma0(), again.sigma0())
    assert first.truth == again.truth
    for other in (simulate_chip(2, 2, 128), simulate_chip(1, 3, 128), simulate_chip(1, 2, 128, "test")):
        assert not np.array_equal(first.sigma0(), other.sigma0())


def test_splits_share_no_layout() -> None:
    """No layout that a model learns from is in the test split."""
    assert not set(VARIANTS["train"]) & set(VARIANTS["test"])


def test_a_chip_shows_the_same_site_at_every_size() -> None:
    """A chip of twice as many pixels has the same objects at the same places."""
    for index in range(40):
        small, large = simulate_chip(5, index, 128).truth, simulate_chip(5, index, 256).truth
        assert small.counts == large.counts
        for one, two in zip(small.objects, large.objects, strict=True):
            assert np.subtract(two.box, np.multiply(one.box, 2)) == pytest.approx(np.zeros(4), abs=4.0)


def test_objects_are_whole_legible_and_apart() -> None:
    """Every box lies inside the image, is large enough to be seen at 224 pixels, and no two overlap."""
    for index in range(300):
        truth = simulate_chip(6, index).truth
        for number, seen in enumerate(truth.objects):
            box = seen.box
            assert min(box.x, box.y) >= 0
            assert max(box.x + box.width, box.y + box.height) <= 256
            assert max(box.width, box.height) >= 10
            assert min(box.width, box.height) >= 3
            assert all(box.overlap(other.box) <= 0.1 * box.width * box.height for other in truth.objects[:number])


def test_a_target_stands_out_of_its_surroundings() -> None:
    """The brightest tenth of every box is five times as bright as the median pixel outside all boxes."""
    for index in range(60):
        chip = simulate_chip(7, index)
        image, outside = chip.sigma0(), np.ones((256, 256), bool)
        insides = []
        for _, (x, y, width, height) in chip.truth.objects:
            part = (slice(int(y), int(y + height)), slice(int(x), int(x + width)))
            outside[part] = False
            insides.append(np.percentile(image[part], 90))
        if insides:
            assert np.min(insides) > 5 * np.median(image[outside])


def test_angles_are_drawn_as_they_are_named() -> None:
    """A strip at angle zero is horizontal: its rows are of one cover; at a right angle its columns are."""
    for angle, axis in ((0.0, 1), (pi / 2, 0)):
        cover = scene(ground=Strip(LandCover.FOREST, 64, 64, angle, 20)).drawn(WHOLE).cover
        lines = (cover == LandCover.FOREST).mean(axis=axis)
        assert set(np.unique(lines)) == {0.0, 1.0}
        assert lines.sum() == pytest.approx(20, abs=1)
