"""What a model may be told of how an image was taken, before it is asked about it."""

from __future__ import annotations

from sarlens.stac import Taken


def context_of(taken: Taken) -> str:
    """A sentence of what is known; empty where nothing is. Models of SARLANG-1M were trained without one."""
    told = [
        taken.platform and f"by {taken.platform}",
        taken.datetime and f"on {taken.datetime:%Y-%m-%d at %H:%M} UTC",
        taken.orbit_state and f"in {taken.orbit_state} orbit",
        taken.instrument_mode and f"in {taken.instrument_mode} mode",
        taken.polarizations and f"in {' and '.join(taken.polarizations)} polarization",
    ]
    if taken.pixel_spacing_range and taken.pixel_spacing_azimuth:
        told.append(f"with pixels of {taken.pixel_spacing_range:g} m by {taken.pixel_spacing_azimuth:g} m")
    known = ", ".join(each for each in told if each)
    kind = f"{taken.product_type} product" if taken.product_type else "radar image"
    return f"This {kind} was taken {known}." if known else ""
