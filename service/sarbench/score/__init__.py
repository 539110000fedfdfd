"""Scoring answers: captions as pycocoevalcap does, questions by the paper's rule and by a strict one."""
