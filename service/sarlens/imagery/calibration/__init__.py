"""Radiometric calibration: lookup tables, constants and vendor headers."""
