"""Calibration factors in the headers of commercial GeoTIFFs.

Capella writes JSON into ImageDescription: ``collect.image.radiometry`` names the coefficient, and
``collect.image.scale_factor`` is a factor of amplitude.

ICEYE writes the tag CALIBRATION_FACTOR, or JSON with ``iceye:calibration_factor`` into ICEYE_PROPERTIES. The factor is
one of power: for sigma0 on the ellipsoid in detected images, and for beta0 in complex images.

Umbra's GeoTIFFs have no calibration factor.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import orjson

from sarlens.types.render_params import Calibration

_CAPELLA_RADIOMETRY: dict[str, Calibration] = {
    "sigma_nought": "sigma0",
    "beta_nought": "beta0",
    "gamma_nought": "gamma0",
}
_MAX_JSON_LENGTH = 2**20


def header_calibration(tags: Mapping[str, str], *, complex_pixels: bool) -> dict[Calibration, float]:
    """Return the factor from squared digital numbers to each coefficient that the tags describe; usually none."""
    factors = _capella(tags.get("TIFFTAG_IMAGEDESCRIPTION", "")) or _iceye(tags, complex_pixels=complex_pixels)
    return {name: factor for name, factor in factors.items() if math.isfinite(factor) and factor > 0}


def _capella(description: str) -> dict[Calibration, float]:
    if not description.startswith("{") or len(description) > _MAX_JSON_LENGTH:
        return {}
    try:
        image: Any = orjson.loads(description)["collect"]["image"]
        return {_CAPELLA_RADIOMETRY[image["radiometry"]]: float(image["scale_factor"]) ** 2}
    except (ValueError, KeyError, TypeError, OverflowError):
        return {}


def _iceye(tags: Mapping[str, str], *, complex_pixels: bool) -> dict[Calibration, float]:
    """Return the factor of either kind of ICEYE header."""
    calibration: Calibration = "beta0" if complex_pixels else "sigma0"
    if properties := tags.get("ICEYE_PROPERTIES", ""):
        return {calibration: factor} if (factor := _iceye_properties(properties)) else {}
    upper_tags = {key.upper(): text for key, text in tags.items()}
    if "ICEYE" not in upper_tags.get("PRODUCT_NAME", "") + upper_tags.get("SATELLITE_NAME", ""):
        return {}
    try:
        return {calibration: float(upper_tags["CALIBRATION_FACTOR"])}
    except (ValueError, KeyError):
        return {}


def _iceye_properties(text: str) -> float:
    """Return the factor of squared digital numbers, or 0 if there is none.

    ICEYE maps amplitudes by DN = (scale * amplitude) ^ exponent. With an exponent other than 1, no factor exists.
    """
    if len(text) > _MAX_JSON_LENGTH:
        return 0.0
    try:
        properties: Any = orjson.loads(text)
        mapping = properties.get("iceye:amplitude_mapping") or {"function": "power", "parameters": {}}
        parameters = mapping["parameters"]
        if mapping["function"] != "power" or parameters.get("exponent", 1) != 1:
            return 0.0
        return float(properties["iceye:calibration_factor"]) / float(parameters.get("scale", 1)) ** 2
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError):
        return 0.0
