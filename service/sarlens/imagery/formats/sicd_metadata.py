"""Metadata of SICD: sizes, calibration polynomials and the georeference, from the XML of the file.

Source: NGA.STND.0024, Sensor Independent Complex Data, volumes 1 (elements) and 3 (projections).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sarlens.errors import NotGeoreferenced
from sarlens.imagery.core.polynomial import ScaleFactorPolynomial
from sarlens.imagery.geo.georeference import Georeference
from sarlens.types.render_params import Calibration

_GCPS_PER_SIDE = 9
"""Ground control points along each side of an image."""
_POLYNOMIAL_FIELDS: dict[Calibration, str] = {
    "sigma0": "SigmaZeroSFPoly",
    "beta0": "BetaZeroSFPoly",
    "gamma0": "GammaZeroSFPoly",
}
_MAX_POLYNOMIAL_TERMS = 32
"""Exclusive upper bound of a polynomial's exponents."""
_PROJECTION_ERRORS = (
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    np.linalg.LinAlgError,
)


class SicdMetadata:
    """The XML tree of a SICD. In SICD, rows are range and columns are azimuth.

    Properties raise ValueError if an element is missing or isn't a finite number.
    """

    def __init__(self, name: str, tree: Any) -> None:
        self._name = name
        self._tree = tree
        self.width, self.height = int(self._number("ImageData/NumCols")), int(self._number("ImageData/NumRows"))

    @property
    def pixel_type(self) -> str:
        """``RE32F_IM32F``, ``RE16I_IM16I`` or ``AMP8I_PHS8I``."""
        return self._text("ImageData/PixelType")

    @property
    def polarization(self) -> str:
        """Transmit and receive polarization, such as ``VV``."""
        return self._text("ImageFormation/TxRcvPolarizationProc").replace(":", "")

    @property
    def amplitudes(self) -> NDArray[np.float32]:
        """Amplitude of each byte of ``AMP8I_PHS8I``, shape (256,): from the amplitude table, or else the byte."""
        entries = self._tree.findall("{*}ImageData/{*}AmpTable/*")
        table = {int(entry.get("index")): float(entry.text) for entry in entries}
        return np.array([table.get(index, index) for index in range(256)], dtype=np.float32)

    @property
    def calibration_factors(self) -> Mapping[Calibration, ScaleFactorPolynomial]:
        """Scale factors of power in the Radiometric block, which many products don't have."""
        polynomials = {name: self._polynomial(f"Radiometric/{field}") for name, field in _POLYNOMIAL_FIELDS.items()}
        return {
            name: ScaleFactorPolynomial(coefficients, self._scp_pixel, self._spacing_m)
            for name, coefficients in polynomials.items()
            if coefficients is not None
        }

    @property
    def georeference(self) -> Georeference:
        """Ground control points, projected to the surface at the height of the scene center point.

        Raises:
            NotGeoreferenced: The metadata has no usable projection.
        """
        from sarkit.sicd import image_to_constant_hae_surface  # noqa: PLC0415
        from sarkit.wgs84 import cartesian_to_geodetic  # noqa: PLC0415

        rows, cols = np.linspace(0, self.height, _GCPS_PER_SIDE), np.linspace(0, self.width, _GCPS_PER_SIDE)
        grid = np.stack(np.meshgrid(rows, cols, indexing="ij"), axis=-1)
        distances_m = (grid - 0.5 - self._scp_pixel) * self._spacing_m
        try:
            height_m = self._number("GeoData/SCP/LLH/HAE")
            ground, _, converged = image_to_constant_hae_surface(self._tree, distances_m, height_m)
            geodetic = cartesian_to_geodetic(ground)
        except _PROJECTION_ERRORS:
            converged, geodetic = False, np.zeros(())
        if not converged or not np.isfinite(geodetic).all():
            raise NotGeoreferenced(f'{self._name} has no usable georeference. Set "window" in pixels instead.')
        lonlat = geodetic.reshape(-1, 3)[:, 1::-1]
        return Georeference.from_gcps(self.width, self.height, grid.reshape(-1, 2), lonlat)

    @property
    def _scp_pixel(self) -> tuple[float, float]:
        """Scene center point (row, col) in pixels of this file, which may be a part of the full image."""
        row = self._number("ImageData/SCPPixel/Row") - self._number("ImageData/FirstRow")
        return row, self._number("ImageData/SCPPixel/Col") - self._number("ImageData/FirstCol")

    @property
    def _spacing_m(self) -> tuple[float, float]:
        """Sample spacing of rows and columns in meters."""
        return self._number("Grid/Row/SS"), self._number("Grid/Col/SS")

    def _polynomial(self, path: str) -> NDArray[np.float64] | None:
        """Return coefficients of shape (power of rows, power of columns), or None if there are none."""
        terms = self._tree.findall(f"{_any_namespace(path)}/{{*}}Coef")
        if not terms:
            return None
        powers = [(int(term.get("exponent1")), int(term.get("exponent2"))) for term in terms]
        if not all(0 <= power < _MAX_POLYNOMIAL_TERMS for pair in powers for power in pair):
            raise ValueError(path)
        coefficients = np.zeros(np.max(powers, axis=0) + 1)
        for power, term in zip(powers, terms, strict=True):
            coefficients[power] = float(term.text)
        return coefficients

    def _number(self, path: str) -> float:
        number = float(self._text(path))
        if not np.isfinite(number):
            raise ValueError(path)
        return number

    def _text(self, path: str) -> str:
        return self._tree.findtext(_any_namespace(path)) or ""


def _any_namespace(path: str) -> str:
    """Return a path that matches the elements of every SICD version."""
    return "/".join(f"{{*}}{step}" for step in path.split("/"))
