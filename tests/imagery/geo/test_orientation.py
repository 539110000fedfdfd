"""North up: the turn of images whose rows and columns have any direction."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from rasterio.crs import CRS
from rasterio.transform import Affine

from sarlens.imagery.core.turn import NO_TURN, Turn
from sarlens.imagery.geo.georeference import Georeference
from sarlens.imagery.geo.orientation import ground_steps_m, turn_to_north

UTM = CRS.from_epsg(32631)
NORTH_UP = Affine(10, 0, 500_000, 0, -10, 5_000_000)


def test_steps_are_meters_to_the_east_and_north() -> None:
    """A column of 10 m to the east and a row of 10 m to the south, within the scale of the projection."""
    steps = ground_steps_m(Georeference(100, 50, UTM, NORTH_UP))
    assert steps == pytest.approx(np.array([[10.004, 0], [0, -10.004]]), abs=2e-3)


@pytest.mark.parametrize("degrees", [-40, -12, 0, 12, 40])
@pytest.mark.parametrize("turn", [Turn(*flags) for flags in product((False, True), repeat=3)])
def test_the_turn_brings_north_up(turn: Turn, degrees: float) -> None:
    """An image stored with any turn, and rotated by less than 45 degrees besides: its own turn is undone."""
    width, height = (50, 100) if turn.transposed else (100, 50)
    to_north = Affine.rotation(degrees) @ Affine.scale(10, -10)
    rows, cols = np.mgrid[0:height, 0:width]
    stored_rows, stored_cols = turn.inverse.apply(rows), turn.inverse.apply(cols)
    corners = [(float(stored_cols[at]), float(stored_rows[at])) for at in ((0, 0), (0, 1), (1, 0))]
    (x0, y0), (x1, y1), (x2, y2) = (to_north @ corner for corner in corners)
    affine = Affine(x1 - x0, x2 - x0, 500_000 + x0, y1 - y0, y2 - y0, 5_000_000 + y0)
    georeference = Georeference(stored_rows.shape[1], stored_rows.shape[0], UTM, affine)
    assert turn_to_north(georeference) == turn


def test_ascending_and_descending_passes_of_a_right_looking_radar() -> None:
    """An ascending pass stores the south first, and a descending one the east first: rows or columns are flipped."""
    track = math.degrees(0.2)
    ascending = Affine.translation(500_000, 5_000_000) @ Affine.rotation(-track) @ Affine.scale(10, 10)
    descending = Affine.translation(500_000, 5_000_000) @ Affine.rotation(track) @ Affine.scale(-10, -10)
    assert turn_to_north(Georeference(100, 50, UTM, ascending)) == Turn(flips_rows=True)
    assert turn_to_north(Georeference(100, 50, UTM, descending)) == Turn(flips_cols=True)
    assert turn_to_north(Georeference(100, 50, UTM, NORTH_UP)) == NO_TURN
