"""The nouns of imagery: object readers, rasters, bands, radiometry and caches."""
