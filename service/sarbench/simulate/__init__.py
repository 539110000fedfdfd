"""Radar scenes with known truth: drawn, speckled, questioned and captioned."""
