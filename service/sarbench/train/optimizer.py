"""Combined optimizer: Muon for matrices, AdamW for other parameters."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from sarbench.train.muon import Muon


class MuonAdamW:
    """Optimizer of all parameters of ``modules``.

    Muon, computing in ``dtype``, updates matrices inside the network. AdamW updates embeddings, biases, and norms.
    """

    def __init__(self, *modules: nn.Module, dtype: torch.dtype) -> None:
        named_parameters = [parameter for module in modules for parameter in module.named_parameters()]
        matrices = [
            weight for name, weight in named_parameters if weight.ndim == 2 and ("layers" in name or "modality" in name)
        ]
        matrix_ids = {id(weight) for weight in matrices}
        others = [weight for _, weight in named_parameters if id(weight) not in matrix_ids]
        self.weights = [*matrices, *others]
        self._optimizers: tuple[torch.optim.Optimizer, ...] = (
            Muon(matrices, lr=0.0, weight_decay=0.02, dtype=dtype),
            torch.optim.AdamW(others, lr=0.0, betas=(0.9, 0.98), weight_decay=0.0),
        )

    def step(self, learning_rate: float) -> None:
        """Update the weights from their gradients, clipped to norm 1, and clear the gradients."""
        nn.utils.clip_grad_norm_(self.weights, 1.0)
        for optimizer in self._optimizers:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    def state_dict(self) -> list[dict[str, Any]]:
        """Return the state of both optimizers."""
        return [optimizer.state_dict() for optimizer in self._optimizers]

    def load_state_dict(self, state: list[dict[str, Any]]) -> None:
        """Restore a saved state."""
        for optimizer, saved in zip(self._optimizers, state, strict=True):
            optimizer.load_state_dict(saved)
