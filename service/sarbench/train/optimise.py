"""How weights are changed: Muon for matrices, AdamW for the rest."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from sarbench.train.muon import Muon


class Optimiser:
    """Steps all parameters of ``modules``.

    Matrices inside the network go by Muon, which computes with ``dtype``; tables, biases and norms by AdamW.
    """

    def __init__(self, *modules: nn.Module, dtype: torch.dtype) -> None:
        named = [item for module in modules for item in module.named_parameters()]
        inner = [weight for name, weight in named if weight.ndim == 2 and ("layers" in name or "modality" in name)]
        taken = {id(weight) for weight in inner}
        outer = [weight for _, weight in named if id(weight) not in taken]
        self.weights = [*inner, *outer]
        self._steppers: tuple[torch.optim.Optimizer, ...] = (
            Muon(inner, lr=0.0, weight_decay=0.02, dtype=dtype),
            torch.optim.AdamW(outer, lr=0.0, betas=(0.9, 0.98), weight_decay=0.0),
        )

    def step(self, rate: float) -> None:
        """Change the weights by their gradients, clipped to norm 1, and forget the gradients."""
        nn.utils.clip_grad_norm_(self.weights, 1.0)
        for stepper in self._steppers:
            for group in stepper.param_groups:
                group["lr"] = rate
            stepper.step()
            stepper.zero_grad(set_to_none=True)

    def state(self) -> list[dict[str, Any]]:
        """What ``restore`` needs to go on."""
        return [stepper.state_dict() for stepper in self._steppers]

    def restore(self, state: list[dict[str, Any]]) -> None:
        """Go on from a kept state."""
        for stepper, kept in zip(self._steppers, state, strict=True):
            stepper.load_state_dict(kept)
