"""Decoders of GeoTIFF, SICD, PNG, JPEG and WebP."""
