"""Legends of land cover rasters, reduced to the covers that the questions name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

Legend = Literal["terramesh", "io-lulc", "worldcover"]

COVERS = ("water", "trees", "crops", "built", "other")
"""Covers of the questions. ``other`` is every class that none of the questions names."""

LEGENDS: Mapping[Legend, Mapping[int, str]] = MappingProxyType(
    {
        # 0 no data, 3 flooded vegetation, 6 bare ground, 7 snow and ice, 8 clouds, 9 rangeland
        "terramesh": {1: "water", 2: "trees", 3: "other", 4: "crops", 5: "built", 6: "other", 7: "other", 9: "other"},
        # Impact Observatory, 10 m annual: 4 flooded vegetation, 8 bare ground, 9 snow and ice, 10 clouds, 11 rangeland
        "io-lulc": {1: "water", 2: "trees", 4: "other", 5: "crops", 7: "built", 8: "other", 9: "other", 11: "other"},
        # ESA WorldCover: 20 shrubs, 30 grass, 60 bare, 70 snow and ice, 90 wetland, 95 mangroves, 100 moss and lichen
        "worldcover": {
            10: "trees",
            20: "other",
            30: "other",
            40: "crops",
            50: "built",
            60: "other",
            70: "other",
            80: "water",
            90: "other",
            95: "trees",
            100: "other",
        },
    }
)
"""Cover of each code. Codes that a legend doesn't have, such as clouds, are pixels without a truth."""
