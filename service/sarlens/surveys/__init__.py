"""Surveys: plan the tiles of a scene, ask the workers about each, and export the answers as features."""
