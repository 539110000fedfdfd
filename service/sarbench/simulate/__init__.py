"""Simulation of SAR scenes with ground truth, speckle, questions, and captions."""
