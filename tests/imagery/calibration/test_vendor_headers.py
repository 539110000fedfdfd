"""Calibration factors in headers of Capella and ICEYE, and headers without usable factors."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from imagery.object_fixtures import geotiff, raster_of
from sarlens.errors import CalibrationMissing
from sarlens.imagery.calibration.models import calibration_from_header
from sarlens.imagery.calibration.vendor_headers import header_calibration
from sarlens.imagery.core.radiometry import detect
from sarlens.imagery.render.pipeline import render
from sarlens.types.render_params import Calibration, RenderParams
from support.sar_samples import SAMPLES

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
ICEYE = {"PRODUCT_NAME": "ICEYE_GRD_1", "CALIBRATION_FACTOR": "3.5e-08"}
CAPELLA = {"collect": {"image": {"scale_factor": 0.01, "radiometry": "sigma_nought"}}}


def mapped(exponent: float, scale: float) -> dict[str, Any]:
    """Return the amplitude mapping of an ICEYE COG."""
    parameters = {"exponent": exponent, "scale": scale}
    return {"iceye:amplitude_mapping": {"function": "power", "parameters": parameters}}


@pytest.mark.parametrize(
    ("tags", "coefficient", "factor"),
    [
        ({"TIFFTAG_IMAGEDESCRIPTION": json.dumps(CAPELLA)}, "sigma0", 1e-4),
        (ICEYE, "sigma0", 3.5e-8),
        ({"ICEYE_PROPERTIES": json.dumps({"iceye:calibration_factor": 3.5e-8})}, "sigma0", 3.5e-8),
        ({"ICEYE_PROPERTIES": json.dumps({"iceye:calibration_factor": 8e-8} | mapped(1, 2))}, "sigma0", 2e-8),
    ],
)
def test_vendors_factors_calibrate(tags: dict[str, str], coefficient: Calibration, factor: float) -> None:
    """Capella's factor is one of amplitude and ICEYE's one of power; other coefficients are rejected."""
    dn = np.random.default_rng(0).integers(1, 9999, (32, 32)).astype(np.uint16)
    raster = raster_of(geotiff(dn, tags={"": tags}))
    calibrated = calibration_from_header(raster, coefficient).calibrate(detect(raster))
    np.testing.assert_allclose(calibrated.pixels[0], dn.astype(float) ** 2 * factor, rtol=1e-6)
    assert render(raster, RenderParams(calibration=coefficient), 448).width == 32
    with pytest.raises(CalibrationMissing, match=coefficient):
        render(raster, RenderParams(calibration="gamma0"), 448)


@pytest.mark.parametrize(
    ("tags", "complex_pixels", "factors"),
    [
        (ICEYE, True, {"beta0": 3.5e-8}),
        (ICEYE | {"calibration_factor": "2"}, False, {"sigma0": 2}),
        ({"satellite_name": "ICEYE-X2", "CALIBRATION_FACTOR": "4"}, False, {"sigma0": 4}),
        ({"PRODUCT_NAME": "other", "CALIBRATION_FACTOR": "4"}, False, {}),
        ({"PRODUCT_NAME": "ICEYE"}, False, {}),
        ({"PRODUCT_NAME": "ICEYE", "CALIBRATION_FACTOR": "-1"}, False, {}),
        ({"PRODUCT_NAME": "ICEYE", "CALIBRATION_FACTOR": "nan"}, False, {}),
        ({"ICEYE_PROPERTIES": '{"iceye:calibration_factor": 3}'}, True, {"beta0": 3}),
        ({"TIFFTAG_IMAGEDESCRIPTION": json.dumps(CAPELLA).replace("sigma", "beta")}, False, {"beta0": 1e-4}),
        ({"TIFFTAG_IMAGEDESCRIPTION": json.dumps(CAPELLA).replace("sigma", "gamma")}, True, {"gamma0": 1e-4}),
    ],
)
def test_factors_by_coefficient(tags: dict[str, str], complex_pixels: bool, factors: dict[str, float]) -> None:
    """ICEYE's factor is for beta0 in complex images and for sigma0 otherwise; Capella's names its coefficient."""
    assert header_calibration(tags, complex_pixels=complex_pixels) == pytest.approx(factors)


@pytest.mark.samples
@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the radar samples aren't next to this repository")
def test_the_factor_of_a_real_iceye_header_is_read() -> None:
    """The factor equals the one in the real header."""
    raster = raster_of(next(SAMPLES.glob("ICEYE_GRD*")).read_bytes())
    assert raster.calibration_factors == {"sigma0": 3.939204325311276e-08}


@pytest.mark.parametrize(
    "description",
    ["{", "{}", "[]", '{"collect": 1}', '{"collect": {"image": {"scale_factor": "x", "radiometry": "sigma_nought"}}}']
    + [json.dumps({"collect": {"image": {"scale_factor": f, "radiometry": "sigma_nought"}}}) for f in (0, 1e300, None)]
    + [json.dumps({"collect": {"image": {"scale_factor": 1, "radiometry": r}}}) for r in ("x", "7")],
)
def test_headers_without_usable_factors_stay_relative(description: str) -> None:
    """An image without usable factors, such as Umbra's, is relative, and its coefficients are rejected."""
    raster = raster_of(geotiff(np.ones((8, 8), dtype=np.uint16), tags={"": {"TIFFTAG_IMAGEDESCRIPTION": description}}))
    assert raster.calibration_factors == {}
    with pytest.raises(CalibrationMissing, match="relative"):
        render(raster, RenderParams(calibration="sigma0"), 448)


@pytest.mark.parametrize(
    "properties",
    [
        {"iceye:calibration_factor": 1e-8} | mapped(0.25, 1),
        {"iceye:calibration_factor": 1e-8} | mapped(1, 0),
        {"iceye:calibration_factor": 1e-8, "iceye:amplitude_mapping": {"function": "logarithm"}},
        {"iceye:calibration_factor": "x"},
        {"iceye:calibration_factor": [1]},
        {},
        [],
    ],
)
def test_iceye_amplitudes_of_a_nonlinear_mapping_are_relative(properties: Any) -> None:
    """A factor applies to amplitudes only: with another exponent, the header calibrates nothing."""
    raster = raster_of(
        geotiff(np.ones((8, 8), dtype=np.uint16), tags={"": {"ICEYE_PROPERTIES": json.dumps(properties)}})
    )
    assert raster.calibration_factors == {}
