"""Muon (Jordan et al., 2024): orthogonalized momentum, in the number format that is fastest on the device.

torch.optim.Muon always computes in bfloat16, which is several times slower than float32 on CPUs without bfloat16
instructions.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor, nn

from sarlens.devstack.vllm import lacks_native_bfloat16

_MOMENTUM = 0.95
_NEWTON_SCHULZ_COEFFICIENTS = (3.4445, -4.775, 2.0315)
"""Coefficients of the quintic that moves singular values towards 1 (Jordan et al., 2024)."""
_ITERATIONS = 5
_MIN_NORM = 1e-7


def fast_dtype(device: torch.device) -> torch.dtype:
    """Return bfloat16, or float32 for CPUs that emulate bfloat16."""
    emulated = device.type == "cpu" and lacks_native_bfloat16(Path("/proc/cpuinfo"))
    return torch.float32 if emulated else torch.bfloat16


class Muon(torch.optim.Optimizer):
    """Orthogonalized Nesterov momentum of matrices, scaled to work with AdamW's learning rates (Liu et al., 2025)."""

    def __init__(self, weights: Iterable[nn.Parameter], *, lr: float, weight_decay: float, dtype: torch.dtype) -> None:
        super().__init__(weights, {"lr": lr, "weight_decay": weight_decay})
        self._dtype = dtype

    @torch.no_grad()
    def step(self) -> None:
        """Update the matrices from their gradients."""
        for group in self.param_groups:
            for weight in group["params"]:
                self._step(weight, group["lr"], group["weight_decay"])

    def _step(self, weight: nn.Parameter, rate: float, decay: float) -> None:
        gradient = weight.grad
        if gradient is None:
            return
        momentum = self.state[weight].setdefault("momentum_buffer", torch.zeros_like(gradient))
        momentum.lerp_(gradient, 1 - _MOMENTUM)
        update = orthogonalize(gradient.lerp(momentum, _MOMENTUM), self._dtype)
        weight.mul_(1 - rate * decay)
        weight.add_(update, alpha=-0.2 * math.sqrt(max(weight.shape)) * rate)


def orthogonalize(matrix: Tensor, dtype: torch.dtype) -> Tensor:
    """Return a matrix with singular values near 1, by the Newton-Schulz iteration."""
    a, b, c = _NEWTON_SCHULZ_COEFFICIENTS
    tall = matrix.size(0) > matrix.size(1)
    x = (matrix.T if tall else matrix).to(dtype)
    x = x / x.norm().clamp(min=_MIN_NORM)
    for _ in range(_ITERATIONS):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if tall else x
