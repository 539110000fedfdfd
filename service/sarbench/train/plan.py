"""The choices that a training is made of, kept beside it so that going on later makes the same ones."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from sarbench.errors import TrainingError
from sarlens.prompts.applications import Application

FILE = "training.json"


@dataclass(frozen=True, slots=True)
class Schedule:
    """A learning rate that rises over the first ``rise`` of ``steps``, stays, and falls to 0 over the last ``fall``."""

    steps: int
    peak: float
    rise: float = 0.02
    fall: float = 0.5

    def rate(self, step: int) -> float:
        """The learning rate of step number ``step``, counted from 0."""
        rising = (step + 1) / (self.rise * self.steps)
        falling = (self.steps - step) / (self.fall * self.steps)
        return self.peak * min(1.0, rising, falling)


@dataclass(frozen=True, slots=True)
class Plan:
    """``images`` chips to learn from and ``held_out`` ones of other layouts to be asked; the rest is how.

    A step takes ``batch`` pictures with ``rows`` rows of conversations each. ``objects`` weighs the loss on where
    objects are. Every ``noted`` steps the loss is noted; every ``asked`` of them, a multiple, the held-out chips are
    asked and the state is kept. Applications in ``without`` are not taught. Everything random follows from ``seed``.
    """

    steps: int = 6_000
    images: int = 60_000
    held_out: int = 1_000
    batch: int = 32
    rows: int = 3
    peak: float = 2e-3
    objects: float = 3.0
    noted: int = 50
    asked: int = 500
    seed: int = 0
    without: tuple[Application, ...] = ()

    @property
    def schedule(self) -> Schedule:
        """The learning rate of every step."""
        return Schedule(self.steps, self.peak)

    def random(self, step: int) -> np.random.Generator:
        """The numbers that word and lay out the conversations of one step."""
        return np.random.default_rng((self.seed, 1, step))

    def drawn(self, step: int) -> list[int]:
        """The chips of one step: each once, in random order, before any comes again."""
        first = step * self.batch
        orders: dict[int, np.ndarray[tuple[int], np.dtype[np.int64]]] = {}
        chips = []
        for place in range(first, first + self.batch):
            epoch, index = divmod(place, self.images)
            if epoch not in orders:
                orders[epoch] = np.random.default_rng((self.seed, 0, epoch)).permutation(self.images)
            chips.append(int(orders[epoch][index]))
        return chips

    def keep(self, out: Path) -> None:
        """Write the plan of a new training into ``out``.

        Raises:
            TrainingError: there is one already.
        """
        path = out / FILE
        if path.exists():
            raise TrainingError(f"{out} holds a training: go on with --resume or choose another --out")
        out.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")

    @staticmethod
    def kept(out: Path) -> Plan:
        """The plan of the training in ``out``.

        Raises:
            TrainingError: there is none.
        """
        try:
            kept = json.loads((out / FILE).read_text(encoding="utf-8"))
            return Plan(**kept | {"without": tuple(map(Application, kept.get("without", ())))})
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise TrainingError(f"{out} holds no training to resume: no readable {FILE}") from error
