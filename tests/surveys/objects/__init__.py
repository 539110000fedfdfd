"""Tests of the objects of surveys."""
