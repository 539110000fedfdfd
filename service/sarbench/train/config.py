"""Configuration of a training, saved in its folder so that a resumed training uses the same options."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from sarbench.errors import TrainingError
from sarbench.legacy_keys import with_current_keys
from sarlens.prompts.applications import Application

CONFIG_FILE = "training.json"
_CURRENT_NAMES = {
    "held_out": "held_out_images",
    "batch": "batch_size",
    "rows": "rows_per_image",
    "peak": "peak_learning_rate",
    "objects": "object_loss_weight",
    "noted": "log_every",
    "asked": "evaluate_every",
    "without": "excluded_applications",
}
"""Earlier keys of ``training.json`` and their current names."""


@dataclass(frozen=True, slots=True)
class LearningRateSchedule:
    """A learning rate with linear warm-up over ``warmup_ratio`` of ``steps`` and linear decay over ``decay_ratio``."""

    steps: int
    peak: float
    warmup_ratio: float = 0.02
    decay_ratio: float = 0.5

    def learning_rate(self, step: int) -> float:
        """Return the learning rate of ``step``, counted from 0."""
        rising = (step + 1) / (self.warmup_ratio * self.steps)
        falling = (self.steps - step) / (self.decay_ratio * self.steps)
        return self.peak * min(1.0, rising, falling)


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """Parameters of a training on ``images`` chips, evaluated on ``held_out_images`` chips of other layouts.

    A step uses ``batch_size`` images with ``rows_per_image`` rows of conversations each. Losses are logged every
    ``log_every`` steps. Evaluation and saving happen every ``evaluate_every`` steps, a multiple of ``log_every``.
    Excluded applications aren't trained. ``seed`` determines all random numbers.
    """

    steps: int = 6_000
    images: int = 60_000
    held_out_images: int = 1_000
    batch_size: int = 32
    rows_per_image: int = 3
    peak_learning_rate: float = 2e-3
    object_loss_weight: float = 3.0
    log_every: int = 50
    evaluate_every: int = 500
    seed: int = 0
    excluded_applications: tuple[Application, ...] = ()

    @property
    def schedule(self) -> LearningRateSchedule:
        """The learning rate schedule."""
        return LearningRateSchedule(self.steps, self.peak_learning_rate)

    def step_rng(self, step: int) -> np.random.Generator:
        """Return the random generator for wording and packing of one step."""
        return np.random.default_rng((self.seed, 1, step))

    def chip_indices(self, step: int) -> list[int]:
        """Return the chips of one step. Each epoch is a random permutation of all chips."""
        first = step * self.batch_size
        permutations: dict[int, np.ndarray[tuple[int], np.dtype[np.int64]]] = {}
        chips = []
        for position in range(first, first + self.batch_size):
            epoch, index = divmod(position, self.images)
            if epoch not in permutations:
                permutations[epoch] = np.random.default_rng((self.seed, 0, epoch)).permutation(self.images)
            chips.append(int(permutations[epoch][index]))
        return chips

    def save(self, out: Path) -> None:
        """Write the configuration of a new training into ``out``.

        Raises:
            TrainingError: ``out`` already has a configuration.
        """
        path = out / CONFIG_FILE
        if path.exists():
            raise TrainingError(
                f"{out} already holds a training: pass --resume to continue it, or choose another --out"
            )
        out.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")

    @staticmethod
    def load(out: Path) -> TrainingConfig:
        """Read the configuration of the training in ``out``.

        Raises:
            TrainingError: ``out`` has no readable configuration.
        """
        try:
            document = with_current_keys(json.loads((out / CONFIG_FILE).read_text(encoding="utf-8")), _CURRENT_NAMES)
            excluded = tuple(map(Application, document.pop("excluded_applications", ())))
            return TrainingConfig(**document, excluded_applications=excluded)
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise TrainingError(f"{out} has no training to resume: {CONFIG_FILE} is missing or unreadable") from error
