"""STAC Items as others write them: by pystac, with its extensions, and found to be Items by stac-pydantic."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pystac
import stac_pydantic
from pystac.extensions.projection import ProjectionExtension
from pystac.extensions.sar import FrequencyBand, Polarization, SarExtension
from pystac.extensions.sat import OrbitState, SatExtension

NAME = "S1A_IW_GRDH_20260501T172503"
TAKEN = {
    "datetime": "2026-05-01T17:25:03Z",
    "platform": "sentinel-1a",
    "constellation": "sentinel-1",
    "instrument_mode": "IW",
    "frequency_band": "C",
    "product_type": "GRD",
    "orbit_state": "ascending",
    "relative_orbit": 132,
    "pixel_spacing_range": 10.0,
    "pixel_spacing_azimuth": 10.0,
}
"""What answers say of how the scene was taken, beside item, asset and polarizations."""
CONTEXT = (
    "This GRD product was taken by sentinel-1a, on 2026-05-01 at 17:25 UTC, in ascending orbit, in IW mode, "
    "in VV polarization, with pixels of 10 m by 10 m."
)
_RING = [[3.0, 45.0], [3.2, 45.0], [3.2, 45.15], [3.0, 45.15], [3.0, 45.0]]


def item(assets: Mapping[str, str | dict[str, Any]], **more: Any) -> dict[str, Any]:
    """An Item of a Sentinel-1 scene; an asset is its href, of a COG with the role ``data``, or whatever it is.

    ``more`` replaces members of the Item.
    """
    made = pystac.Item(
        NAME,
        geometry={"type": "Polygon", "coordinates": [_RING]},
        bbox=[3.0, 45.0, 3.2, 45.15],
        datetime=datetime(2026, 5, 1, 17, 25, 3, tzinfo=UTC),
        properties={"platform": "sentinel-1a", "constellation": "sentinel-1"},
    )
    sar = SarExtension.ext(made, add_if_missing=True)
    sar.apply("IW", FrequencyBand.C, [Polarization.VV, Polarization.VH], "GRD")
    sar.pixel_spacing_range = sar.pixel_spacing_azimuth = 10
    SatExtension.ext(made, add_if_missing=True).apply(OrbitState.ASCENDING, relative_orbit=132)
    ProjectionExtension.ext(made, add_if_missing=True).apply(code="EPSG:32631")
    for key, asset in assets.items():
        if isinstance(asset, str):
            made.add_asset(key, pystac.Asset(asset, media_type=pystac.MediaType.COG, roles=["data"]))
        else:
            made.add_asset(key, pystac.Asset.from_dict(asset))
    document: dict[str, Any] = made.to_dict(include_self_link=False)
    stac_pydantic.Item.model_validate(document)
    return document | more
