"""Training loop, resumable at any step."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from sarbench.train.config import TrainingConfig
from sarbench.train.losses import ExactMatchCounter, compute_losses
from sarbench.train.metrics_log import MetricsLog, plot_curves
from sarbench.train.packing import PackedBatch, Packer
from sarbench.train.shards import ShardedChips
from sarbench.train.training_state import TrainingState

EVALUATION_ROWS = 8
"""Rows that hold every conversation about an image."""


@dataclass(frozen=True, slots=True)
class TrainingSession:
    """One session of a training, which ends at the last step or at ``deadline`` on the monotonic clock.

    ``plots`` draws the curves after each evaluation, which requires matplotlib.
    """

    config: TrainingConfig
    chips: ShardedChips
    held_out: ShardedChips
    out: Path
    device: torch.device
    deadline: float = float("inf")
    plots: bool = True

    def train(self, on_metrics: Callable[[dict[str, object]], None] = lambda _: None) -> TrainingState:
        """Train until the last step or the deadline, and return the state. ``on_metrics`` receives the logged metrics.

        Raises:
            TrainingError: the state in ``out`` cannot be read.
        """
        state = TrainingState.initial(self.config.seed, self.device)
        state.restore(self.out)
        log = MetricsLog(self.out, state.step)

        def record(**values: object) -> None:
            log.write(step=state.step, seconds=round(state.seconds), **values)
            on_metrics({"step": state.step, **values})

        for metrics in self._run_steps(state):
            record(**metrics)
            if state.step % self.config.evaluate_every == 0 or state.step == self.config.steps:
                record(accuracy=self._evaluate(state))
                state.save(self.out)
                if self.plots:
                    plot_curves(self.out)
        state.save(self.out)
        return state

    def _run_steps(self, state: TrainingState) -> Iterator[dict[str, object]]:
        """Run steps. Every ``log_every`` steps and after the last, yield mean losses and throughput."""
        packer, schedule = Packer(self.config.rows_per_image), self.config.schedule
        loss_sums, answers, started_at, first_step = torch.zeros(2, device=self.device), 0, time.monotonic(), state.step
        while state.step < self.config.steps and time.monotonic() < self.deadline:
            packed = self._pack_step(packer, state.step)
            loss = compute_losses(state.forward, state.object_head, packed.batch.to(self.device))
            (loss.answers + self.config.object_loss_weight * loss.objects).backward()
            rate = schedule.learning_rate(state.step)
            state.optimizer.step(rate)
            state.step += 1
            loss_sums += torch.stack([loss.answers.detach(), loss.objects.detach()])
            answers += len(packed.segments)
            if state.step % self.config.log_every == 0 or state.step == self.config.steps:
                seconds, steps = time.monotonic() - started_at, state.step - first_step
                state.seconds += seconds
                yield {
                    "loss": round(loss_sums[0].item() / steps, 4),
                    "objects": round(loss_sums[1].item() / steps, 4),
                    "rate": round(rate, 6),
                    "images_per_second": round(steps * self.config.batch_size / seconds, 1),
                    "answers_per_second": round(answers / seconds, 1),
                }
                loss_sums, answers, started_at, first_step = (
                    torch.zeros_like(loss_sums),
                    0,
                    time.monotonic(),
                    state.step,
                )

    def _pack_step(self, packer: Packer, step: int) -> PackedBatch:
        return packer.pack([self.chips[index] for index in self.config.chip_indices(step)], self.config.step_rng(step))

    def _evaluate(self, state: TrainingState) -> dict[str, float]:
        """Return exact-match accuracy on the held-out chips, with the benchmark's wording."""
        packer, counter = Packer(EVALUATION_ROWS), ExactMatchCounter()
        for first in range(0, len(self.held_out), self.config.batch_size):
            chips = [
                self.held_out[index] for index in range(first, min(first + self.config.batch_size, len(self.held_out)))
            ]
            packed = packer.pack(chips, None)
            counter.add(state.forward, PackedBatch(packed.batch.to(self.device), packed.segments))
        return {group: round(accuracy, 4) for group, accuracy in counter.accuracy().items()}
