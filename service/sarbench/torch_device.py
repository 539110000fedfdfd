"""Which device torch computes on."""

from __future__ import annotations

import torch

from sarbench.errors import TrainingError


def torch_device(name: str) -> torch.device:
    """The device called ``cpu`` or ``cuda``; ``auto`` is CUDA where there is one.

    Raises:
        TrainingError: there is none of that name.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name not in {"cpu", "cuda"}:
        raise TrainingError(f"--device is auto, cpu or cuda, not {name}")
    if name == "cuda" and not torch.cuda.is_available():
        raise TrainingError("no CUDA device is at hand: use --device cpu")
    return torch.device(name)
