"""Images: sources, formats, products, calibration, georeferencing and rendering."""
