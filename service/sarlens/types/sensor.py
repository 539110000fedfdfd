"""The sensor that took an image."""

from __future__ import annotations

from typing import NamedTuple


class Sensor(NamedTuple):
    """Platform, mode and pixel spacing of an image; each is None if nothing states it."""

    platform: str | None = None
    """Platform in lower case, such as ``sentinel-1a`` or ``iceye-x7``."""
    mode: str | None = None
    """Instrument mode in lower case, such as ``iw`` or ``spotlight``."""
    spacing_m: float | None = None
    """Pixel spacing on the ground in meters: the square root of the area of a pixel."""

    def __str__(self) -> str:
        spacing = "unknown" if self.spacing_m is None else f"{self.spacing_m:.3g} m"
        return f"platform {self.platform or 'unknown'}, mode {self.mode or 'unknown'}, pixel spacing {spacing}"
