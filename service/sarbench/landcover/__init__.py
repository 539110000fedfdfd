"""Answers of a model about real radar images, compared with land cover rasters of the same ground."""
