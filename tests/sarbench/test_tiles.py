"""How a survey's tiles are judged by the truth."""

from __future__ import annotations

from typing import Any

import numpy as np

from sarbench.score.tiles import Values, judged, precision, recall
from sarbench.simulate.geometry import Sensor
from sarbench.simulate.layouts.fleet import fleet
from sarbench.simulate.scene import Scene
from sarbench.simulate.targets.ship import Ship


def flat(lon: Values, lat: Values) -> tuple[Values, Values]:
    """A thousand pixels a degree, rows from the equator down."""
    return np.asarray(lon) * 1000, -np.asarray(lat) * 1000


def feature(col: int, row: int, value: int, slip: float = 0.0) -> dict[str, Any]:
    """A tile of 100 pixels whose footprint slips to the right."""
    corners = [(col, row), (col, row + 100), (col + 100, row + 100), (col + 100, row), (col, row)]
    ring = [[(x + slip) / 1000, -y / 1000] for x, y in corners]
    properties = {"col": col, "row": row, "width": 100, "height": 100, "value": value}
    return {"geometry": {"type": "Polygon", "coordinates": [ring]}, "properties": properties}


def test_tiles_are_judged_by_the_ships_on_their_ground() -> None:
    """A ship counts where its middle is, an edge across a hull is told, and so is how far a footprint is off."""
    ships = [Ship(500, 500, 200, 40, 0.0), Ship(1010, 500, 200, 40, 0.0)]
    scene = Scene(0, 200, 300, Sensor(10.0), (), ships)
    tiles = judged([feature(0, 0, 1), feature(100, 0, 0), feature(200, 0, 2, slip=3.0)], scene, flat)
    assert [tile.ships for tile in tiles] == [1, 1, 0]
    assert [tile.cut for tile in tiles] == [True, True, False]
    np.testing.assert_allclose([tile.off for tile in tiles], [0, 0, 3], atol=1e-9)
    assert recall(tiles) == (1, 2)
    assert precision(tiles) == (1, 2)


def test_a_fleet_has_its_ships_apart_and_inside() -> None:
    """As many ships as were asked for, the same every time, none touching another or the edge."""
    scene = fleet(1, 5120, 7680, 10.0, 200)
    assert scene.targets == fleet(1, 5120, 7680, 10.0, 200).targets
    outlines = [ship.outline(scene.sensor) for ship in scene.targets]
    assert len(outlines) == 200
    assert not any(one.meets(other) for at, one in enumerate(outlines) for other in outlines[:at])
    assert all(min(each[:2]) > 0 and each.right < 76_800 and each.bottom < 51_200 for each in outlines)


def test_a_sea_has_no_more_ships_than_it_has_room_for() -> None:
    """Asked for too many, it ends with those that fit."""
    assert 0 < len(fleet(1, 512, 512, 10.0, 1000).targets) < 500
