"""Where a training stands, and how it is kept so that a kill loses minutes and never the training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from sarbench.errors import TrainingError
from sarbench.nano.checkpoint import write_weights
from sarbench.train.beginning import beginning
from sarbench.train.forward import Forward
from sarbench.train.muon import fast_dtype
from sarbench.train.objective import Finder
from sarbench.train.optimise import Optimiser

FILE = "state.pt"
CHECKPOINT = "checkpoint"


@dataclass(slots=True)
class State:
    """The model with all that changes while it learns; ``step`` steps are done and took ``seconds``."""

    forward: Forward
    finder: Finder
    optimiser: Optimiser
    step: int = 0
    seconds: float = 0.0

    @staticmethod
    def begin(seed: int, device: torch.device) -> State:
        """The state before the first step."""
        model = beginning(seed).to(device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            finder = Finder(model.config.vision_config.hidden_size).to(device)
        dtype = fast_dtype(device)
        return State(Forward(model, dtype), finder, Optimiser(model, finder, dtype=dtype))

    def keep(self, out: Path) -> None:
        """Write the state and the model's checkpoint into ``out``; the state is the old or the new one, never half."""
        kept = {
            "step": self.step,
            "seconds": self.seconds,
            "model": self.forward.model.state_dict(),
            "finder": self.finder.state_dict(),
            "optimiser": self.optimiser.state(),
        }
        draft = out / f".{FILE}"
        torch.save(kept, draft)
        draft.replace(out / FILE)
        write_weights(out / CHECKPOINT, self.forward.model.state_dict())

    def restore(self, out: Path) -> None:
        """Go on from the state kept in ``out``, if one is.

        Raises:
            TrainingError: it cannot be read, or is of another architecture.
        """
        path = out / FILE
        if not path.exists():
            return
        try:
            kept = torch.load(path, map_location="cpu", weights_only=True)
            self.forward.model.load_state_dict(kept["model"])
            self.finder.load_state_dict(kept["finder"])
            self.optimiser.restore(kept["optimiser"])
            self.step, self.seconds = kept["step"], kept["seconds"]
        except (OSError, RuntimeError, LookupError, ValueError, EOFError) as error:
            raise TrainingError(f"the training in {out} cannot go on: {FILE} is damaged or of another model") from error
