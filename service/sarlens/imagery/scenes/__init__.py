"""Whole scenes to look at: tiles, one stretch for the scene, and tiles warped by its georeference."""
