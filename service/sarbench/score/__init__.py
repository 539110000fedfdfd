"""Scoring: caption metrics equal to pycocoevalcap's, and question accuracy by the paper's rule and a strict rule."""
