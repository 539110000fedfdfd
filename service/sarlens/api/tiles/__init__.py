"""Scenes to look at: their description, tiles, TileJSON, statistics, and OGC API - Tiles."""
