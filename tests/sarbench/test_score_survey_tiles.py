"""Evaluation of a survey's tiles against simulated ships."""

from __future__ import annotations

from typing import Any

import numpy as np

from sarbench.score.survey_tiles import Coordinates, evaluate_tiles, precision, recall
from sarbench.simulate.geometry import Sensor
from sarbench.simulate.scene import Scene
from sarbench.simulate.targets.ship import Ship


def flat(lon: Coordinates, lat: Coordinates) -> tuple[Coordinates, Coordinates]:
    """Convert degrees to pixels: 1,000 pixels per degree, rows downward from the equator."""
    return np.asarray(lon) * 1000, -np.asarray(lat) * 1000


def feature(col: int, row: int, value: int, slip: float = 0.0) -> dict[str, Any]:
    """Return a tile of 100 pixels with its footprint shifted to the right by ``slip`` pixels."""
    corners = [(col, row), (col, row + 100), (col + 100, row + 100), (col + 100, row), (col, row)]
    ring = [[(x + slip) / 1000, -y / 1000] for x, y in corners]
    properties = {"col": col, "row": row, "width": 100, "height": 100, "type": "integer", "count": value}
    return {"geometry": {"type": "Polygon", "coordinates": [ring]}, "properties": properties}


def test_tiles_are_evaluated_by_the_ships_on_their_ground() -> None:
    """A ship counts in the tile of its center; cut ships and footprint errors are reported."""
    ships = [Ship(500, 500, 200, 40, 0.0), Ship(1010, 500, 200, 40, 0.0)]
    scene = Scene(0, 200, 300, Sensor(10.0), (), ships)
    tiles = evaluate_tiles([feature(0, 0, 1), feature(100, 0, 0), feature(200, 0, 2, slip=3.0)], scene, flat)
    assert [tile.ships for tile in tiles] == [1, 1, 0]
    assert [tile.has_cut_ship for tile in tiles] == [True, True, False]
    np.testing.assert_allclose([tile.footprint_error_px for tile in tiles], [0, 0, 3], atol=1e-9)
    assert recall(tiles) == (1, 2)
    assert precision(tiles) == (1, 2)
