"""Training from the first chip to the last step, in as many stretches as it takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from sarbench.train.chips import Chips
from sarbench.train.objective import Tally, losses
from sarbench.train.packing import Packed, Packer
from sarbench.train.plan import Plan
from sarbench.train.progress import Progress, draw_curves
from sarbench.train.state import State

ALL_ROWS = 8
"""Rows that hold every conversation about a picture."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """One sitting of a training: of which ``plan``, on what, in which folder, and until when on the monotonic clock."""

    plan: Plan
    chips: Chips
    held_out: Chips
    out: Path
    device: torch.device
    until: float = float("inf")

    def train(self, tell: Callable[[dict[str, object]], None] = lambda _: None) -> State:
        """Take steps until the plan or the time is up, and return where it stands; ``tell`` hears what is noted.

        Raises:
            TrainingError: the state in ``out`` cannot be read.
        """
        state = State.begin(self.plan.seed, self.device)
        state.restore(self.out)
        progress = Progress(self.out, state.step)

        def note(**observation: object) -> None:
            progress.note(step=state.step, seconds=round(state.seconds), **observation)
            tell({"step": state.step, **observation})

        for noted in self._steps(state):
            note(**noted)
            if state.step % self.plan.asked == 0 or state.step == self.plan.steps:
                note(accuracy=self._ask(state))
                state.keep(self.out)
                draw_curves(self.out)
        state.keep(self.out)
        return state

    def _steps(self, state: State) -> Iterator[dict[str, object]]:
        """Take steps; every ``plan.noted`` of them and after the last, yield mean losses and what was done a second."""
        packer, schedule = Packer(self.plan.rows), self.plan.schedule
        lost, answers, since, first = torch.zeros(2, device=self.device), 0, time.monotonic(), state.step
        while state.step < self.plan.steps and time.monotonic() < self.until:
            packed = self._packed(packer, state.step)
            loss = losses(state.forward, state.finder, packed.batch.to(self.device))
            (loss.answers + self.plan.objects * loss.objects).backward()
            rate = schedule.rate(state.step)
            state.optimiser.step(rate)
            state.step += 1
            lost += torch.stack([loss.answers.detach(), loss.objects.detach()])
            answers += len(packed.places)
            if state.step % self.plan.noted == 0 or state.step == self.plan.steps:
                took, steps = time.monotonic() - since, state.step - first
                state.seconds += took
                yield {
                    "loss": round(lost[0].item() / steps, 4),
                    "objects": round(lost[1].item() / steps, 4),
                    "rate": round(rate, 6),
                    "images_per_second": round(steps * self.plan.batch / took, 1),
                    "answers_per_second": round(answers / took, 1),
                }
                lost, answers, since, first = torch.zeros_like(lost), 0, time.monotonic(), state.step

    def _packed(self, packer: Packer, step: int) -> Packed:
        return packer.pack([self.chips[index] for index in self.plan.drawn(step)], self.plan.random(step))

    def _ask(self, state: State) -> dict[str, float]:
        """Accuracy on the held-out chips, all asked in the benchmark's words."""
        packer, tally = Packer(ALL_ROWS), Tally()
        for first in range(0, len(self.held_out), self.plan.batch):
            chips = [self.held_out[index] for index in range(first, min(first + self.plan.batch, len(self.held_out)))]
            packed = packer.pack(chips, None)
            tally.add(state.forward, Packed(packed.batch.to(self.device), packed.places))
        return {name: round(share, 4) for name, share in tally.accuracy().items()}
