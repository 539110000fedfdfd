"""What goes wrong in sarbench, told in a sentence."""

from __future__ import annotations


class SarbenchError(Exception):
    """Something that the person at the command line can mend; the message says what and how."""


class DatasetError(SarbenchError):
    """The data set cannot be read: nothing is there, or a file is not what its name promises."""


class RunError(SarbenchError):
    """A run cannot start or go on."""


class ScoreError(SarbenchError):
    """There is nothing to score, or what is there does not fit together."""


class TrainingError(SarbenchError):
    """A training cannot start or go on."""
