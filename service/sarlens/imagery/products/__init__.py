"""Products: Sentinel-1 SAFE folders and STAC Items."""
