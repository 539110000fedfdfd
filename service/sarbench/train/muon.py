"""Muon (Jordan et al., 2024): momentum, made orthogonal; in the number format that the device is fast with.

torch.optim.Muon computes with bfloat16 everywhere, which a processor without instructions for it does several times as
slowly as with 32 bits.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor, nn

from sarlens.workers.vllm import imitates_bfloat16

_MOMENTUM = 0.95
_COEFFICIENTS = (3.4445, -4.775, 2.0315)
"""Of the quintic that drives singular values towards one (Jordan et al., 2024)."""
_ITERATIONS = 5
_LEAST_NORM = 1e-7


def fast_dtype(device: torch.device) -> torch.dtype:
    """bfloat16, or float32 on a processor that only imitates it."""
    imitated = device.type == "cpu" and imitates_bfloat16(Path("/proc/cpuinfo"))
    return torch.float32 if imitated else torch.bfloat16


class Muon(torch.optim.Optimizer):
    """Nesterov momentum of matrices made orthogonal, scaled so that AdamW's rates fit it (Liu et al., 2025)."""

    def __init__(self, weights: Iterable[nn.Parameter], *, lr: float, weight_decay: float, dtype: torch.dtype) -> None:
        super().__init__(weights, {"lr": lr, "weight_decay": weight_decay})
        self._dtype = dtype

    @torch.no_grad()
    def step(self) -> None:
        """Change the matrices by their gradients."""
        for group in self.param_groups:
            for weight in group["params"]:
                self._step(weight, group["lr"], group["weight_decay"])

    def _step(self, weight: nn.Parameter, rate: float, decay: float) -> None:
        gradient = weight.grad
        if gradient is None:
            return
        momentum = self.state[weight].setdefault("momentum_buffer", torch.zeros_like(gradient))
        momentum.lerp_(gradient, 1 - _MOMENTUM)
        update = orthogonal(gradient.lerp(momentum, _MOMENTUM), self._dtype)
        weight.mul_(1 - rate * decay)
        weight.add_(update, alpha=-0.2 * math.sqrt(max(weight.shape)) * rate)


def orthogonal(matrix: Tensor, dtype: torch.dtype) -> Tensor:
    """A matrix with singular values near one, by Newton and Schulz's iteration."""
    a, b, c = _COEFFICIENTS
    tall = matrix.size(0) > matrix.size(1)
    x = (matrix.T if tall else matrix).to(dtype)
    x = x / x.norm().clamp(min=_LEAST_NORM)
    for _ in range(_ITERATIONS):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if tall else x
