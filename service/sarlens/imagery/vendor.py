"""Calibration factors in the headers of commercial GeoTIFFs, from where each vendor puts them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import orjson

from sarlens.request import Calibration

_CAPELLA: dict[str, Calibration] = {"sigma_nought": "sigma0", "beta_nought": "beta0", "gamma_nought": "gamma0"}
_MAX_TEXT = 2**20


def factors(tags: Mapping[str, str], *, complex_pixels: bool) -> dict[Calibration, float]:
    """What squares of digital numbers are multiplied by for each coefficient that a header knows; mostly none.

    Capella writes JSON into ImageDescription: ``collect.image.radiometry`` names the coefficient, and
    ``collect.image.scale_factor`` is in amplitude. ICEYE writes CALIBRATION_FACTOR, in power: of detected images for
    sigma0 on the ellipsoid, of complex ones for beta0. Umbra's GeoTIFFs carry none.
    """
    found = _capella(tags.get("TIFFTAG_IMAGEDESCRIPTION", "")) or _iceye(tags, complex_pixels=complex_pixels)
    return {name: factor for name, factor in found.items() if math.isfinite(factor) and factor > 0}


def _capella(text: str) -> dict[Calibration, float]:
    if not text.startswith("{") or len(text) > _MAX_TEXT:
        return {}
    try:
        image: Any = orjson.loads(text)["collect"]["image"]
        return {_CAPELLA[image["radiometry"]]: float(image["scale_factor"]) ** 2}
    except (ValueError, KeyError, TypeError, OverflowError):
        return {}


def _iceye(tags: Mapping[str, str], *, complex_pixels: bool) -> dict[Calibration, float]:
    named = {key.upper(): text for key, text in tags.items()}
    if "ICEYE" not in named.get("PRODUCT_NAME", "") + named.get("SATELLITE_NAME", ""):
        return {}
    try:
        return {"beta0" if complex_pixels else "sigma0": float(named["CALIBRATION_FACTOR"])}
    except (ValueError, KeyError):
        return {}
