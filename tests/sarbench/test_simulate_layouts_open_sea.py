"""Scenes of open sea with ships."""

from __future__ import annotations

from sarbench.simulate.layouts.open_sea import open_sea_scene


def test_ships_are_separate_and_inside() -> None:
    """There are as many ships as requested, reproducibly, without overlap and inside the scene."""
    scene = open_sea_scene(1, 5120, 7680, 10.0, 200)
    assert scene.targets == open_sea_scene(1, 5120, 7680, 10.0, 200).targets
    outlines = [ship.box_extent(scene.sensor) for ship in scene.targets]
    assert len(outlines) == 200
    assert not any(one.intersects(other) for index, one in enumerate(outlines) for other in outlines[:index])
    assert all(min(outline[:2]) > 0 and outline.right < 76_800 and outline.bottom < 51_200 for outline in outlines)


def test_there_are_fewer_ships_if_they_do_not_fit() -> None:
    """If the requested ships don't fit, there are fewer."""
    assert 0 < len(open_sea_scene(1, 512, 512, 10.0, 1000).targets) < 500
