"""Georeferencing, polygons, and windows for geometries."""
