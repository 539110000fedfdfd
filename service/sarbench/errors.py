"""Errors that the command line reports in one sentence."""

from __future__ import annotations


class SarbenchError(Exception):
    """An error that the user can fix. Its message is one sentence that names the cause and the fix."""


class DatasetError(SarbenchError):
    """The data set cannot be read: no data was found, or a file is malformed."""


class RunError(SarbenchError):
    """A run cannot start or continue."""


class ScoreError(SarbenchError):
    """There is nothing to score, or the inputs don't match."""


class TrainingError(SarbenchError):
    """Training or fine-tuning cannot start or continue."""


class RequirementError(SarbenchError):
    """A requirement of a command isn't met: a missing package, or a path that cannot be written."""
