"""State of a training, saved atomically so that an interruption loses at most the steps since the last evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from sarbench.errors import TrainingError
from sarbench.legacy_keys import with_current_keys
from sarbench.nano.checkpoint import write_weights
from sarbench.train.forward import PackedForward
from sarbench.train.init_weights import initial_model
from sarbench.train.losses import ObjectMapHead
from sarbench.train.muon import fast_dtype
from sarbench.train.optimizer import MuonAdamW

STATE_FILE = "state.pt"
CHECKPOINT_DIR = "checkpoint"
_CURRENT_NAMES = {"finder": "object_head", "optimiser": "optimizer"}
"""Earlier keys of ``state.pt`` and their current names."""


@dataclass(slots=True)
class TrainingState:
    """Model, auxiliary head, and optimizer after ``step`` steps, which took ``seconds``."""

    forward: PackedForward
    object_head: ObjectMapHead
    optimizer: MuonAdamW
    step: int = 0
    seconds: float = 0.0

    @staticmethod
    def initial(seed: int, device: torch.device) -> TrainingState:
        """Return the state before the first step."""
        model = initial_model(seed).to(device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            object_head = ObjectMapHead(model.config.vision_config.hidden_size).to(device)
        dtype = fast_dtype(device)
        return TrainingState(PackedForward(model, dtype), object_head, MuonAdamW(model, object_head, dtype=dtype))

    def save(self, out: Path) -> None:
        """Write the state and the model's checkpoint into ``out``. The state file is replaced atomically."""
        document = {
            "step": self.step,
            "seconds": self.seconds,
            "model": self.forward.model.state_dict(),
            "object_head": self.object_head.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        draft = out / f".{STATE_FILE}"
        torch.save(document, draft)
        draft.replace(out / STATE_FILE)
        write_weights(out / CHECKPOINT_DIR, self.forward.model.state_dict())

    def restore(self, out: Path) -> None:
        """Restore the state saved in ``out``, if one exists.

        Raises:
            TrainingError: the state is damaged or belongs to a different architecture.
        """
        path = out / STATE_FILE
        if not path.exists():
            return
        try:
            document = with_current_keys(torch.load(path, map_location="cpu", weights_only=True), _CURRENT_NAMES)
            self.forward.model.load_state_dict(document["model"])
            self.object_head.load_state_dict(document["object_head"])
            self.optimizer.load_state_dict(document["optimizer"])
            self.step, self.seconds = document["step"], document["seconds"]
        except (OSError, RuntimeError, LookupError, ValueError, EOFError) as error:
            raise TrainingError(
                f"cannot resume the training in {out}: {STATE_FILE} is damaged or belongs to a different model"
            ) from error
