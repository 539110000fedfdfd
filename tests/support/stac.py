"""STAC Items, written by pystac with its extensions and validated by stac-pydantic."""

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
"""Acquisition parameters in responses, without item, asset and polarizations."""
CONTEXT = (
    "This GRD product was taken by sentinel-1a, on 2026-05-01 at 17:25 UTC, in ascending orbit, in IW mode, "
    "in VV polarization, with pixels of 10 m by 10 m."
)
COG = {"type": "image/tiff; application=geotiff; profile=cloud-optimized", "roles": ["data"]}
"""Members of an asset that is a cloud-optimized GeoTIFF of data."""
S1_ASSETS: dict[str, Any] = {
    "vv": "./vv.tif",
    "vh": "./vh.tif",
    "thumbnail": {"href": "t.png", "type": "image/png", "roles": ["thumbnail"]},
}
"""Assets of a Sentinel-1 Item for ``item``."""
_RING = [[3.0, 45.0], [3.2, 45.0], [3.2, 45.15], [3.0, 45.15], [3.0, 45.0]]


def item(assets: Mapping[str, str | dict[str, Any]], **more: Any) -> dict[str, Any]:
    """Return an Item of a Sentinel-1 scene.

    An asset is the href of a COG with the role ``data``, or the whole asset as a dict. ``more`` replaces members of the
    Item.
    """
    stac_item = pystac.Item(
        NAME,
        geometry={"type": "Polygon", "coordinates": [_RING]},
        bbox=[3.0, 45.0, 3.2, 45.15],
        datetime=datetime(2026, 5, 1, 17, 25, 3, tzinfo=UTC),
        properties={"platform": "sentinel-1a", "constellation": "sentinel-1"},
    )
    sar = SarExtension.ext(stac_item, add_if_missing=True)
    sar.apply("IW", FrequencyBand.C, [Polarization.VV, Polarization.VH], "GRD")
    sar.pixel_spacing_range = sar.pixel_spacing_azimuth = 10
    SatExtension.ext(stac_item, add_if_missing=True).apply(OrbitState.ASCENDING, relative_orbit=132)
    ProjectionExtension.ext(stac_item, add_if_missing=True).apply(code="EPSG:32631")
    for key, asset in assets.items():
        if isinstance(asset, str):
            stac_item.add_asset(key, pystac.Asset(asset, media_type=pystac.MediaType.COG, roles=["data"]))
        else:
            stac_item.add_asset(key, pystac.Asset.from_dict(asset))
    document: dict[str, Any] = stac_item.to_dict(include_self_link=False)
    stac_pydantic.Item.model_validate(document)
    return document | more
