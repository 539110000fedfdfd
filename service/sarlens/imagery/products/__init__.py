"""Products: Sentinel-1 SAFE folders and ZIP archives, and STAC Items."""
