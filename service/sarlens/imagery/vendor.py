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
    ``collect.image.scale_factor`` is in amplitude. ICEYE writes CALIBRATION_FACTOR, or JSON with
    ``iceye:calibration_factor`` into ICEYE_PROPERTIES, in power: of detected images for sigma0 on the ellipsoid, of
    complex ones for beta0. Umbra's GeoTIFFs carry none.
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
    """Of either kind of header; amplitudes that were mapped to digital numbers by a power other than 1 have no factor.

    The mapping is DN = (scale * amplitude) ^ exponent.
    """
    name: Calibration = "beta0" if complex_pixels else "sigma0"
    if text := tags.get("ICEYE_PROPERTIES", ""):
        return {name: factor} if (factor := _iceye_properties(text)) else {}
    named = {key.upper(): text for key, text in tags.items()}
    if "ICEYE" not in named.get("PRODUCT_NAME", "") + named.get("SATELLITE_NAME", ""):
        return {}
    try:
        return {name: float(named["CALIBRATION_FACTOR"])}
    except (ValueError, KeyError):
        return {}


def _iceye_properties(text: str) -> float:
    """The factor of squares of digital numbers, or 0 where there is none."""
    if len(text) > _MAX_TEXT:
        return 0.0
    try:
        found: Any = orjson.loads(text)
        mapping = found.get("iceye:amplitude_mapping") or {"function": "power", "parameters": {}}
        parameters = mapping["parameters"]
        if mapping["function"] != "power" or parameters.get("exponent", 1) != 1:
            return 0.0
        return float(found["iceye:calibration_factor"]) / float(parameters.get("scale", 1)) ** 2
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError):
        return 0.0
