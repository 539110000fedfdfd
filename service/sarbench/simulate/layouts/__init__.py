"""The kinds of site that chips show. A kind's *variant* fixes its layout; a seed fixes what fills it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sarbench.dataset.layout import Split
from sarbench.simulate.layouts.country import farmland, forest
from sarbench.simulate.layouts.pavement import airfield, parking
from sarbench.simulate.layouts.site import Site
from sarbench.simulate.layouts.town import industrial, residential, urban
from sarbench.simulate.layouts.water import coast, river, sea

VARIANTS: dict[Split, range] = {"train": range(4000), "test": range(4000, 5000)}
"""The layouts of each kind that belong to each split: none is in both."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of site: what ``lay`` builds on ``side`` metres (least, most), the area's name and its likely use.

    Where ``mark`` names a category and none of it is there, the area is called ``otherwise`` and nobody could tell
    its use.
    """

    lay: Callable[[Site], None]
    side: tuple[float, float]
    area: str
    use: str | None
    mark: str | None = None
    otherwise: str = ""


KINDS: tuple[Kind, ...] = (
    Kind(sea, (1600, 6000), "Sea", "Shipping", "ship", "Sea"),
    Kind(coast, (2500, 6400), "Port", "Shipping", "harbor", "Coast"),
    Kind(river, (1200, 4000), "River", "River crossing", "bridge", "River"),
    Kind(airfield, (330, 700), "Airport", "Air transport"),
    Kind(industrial, (350, 900), "Industrial", "Fuel storage", "tank", "Industrial"),
    Kind(parking, (48, 80), "Parking area", "Parking"),
    Kind(residential, (220, 330), "Residential", "Housing"),
    Kind(urban, (350, 700), "Urban", "Commerce"),
    Kind(farmland, (900, 3000), "Agricultural field", "Agriculture"),
    Kind(forest, (900, 3000), "Forest", "Forestry"),
)
"""What chips are drawn from, each as often as any other."""
