"""Texts and pictures of a data set as the conversations that a model is fine-tuned on."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

from PIL import Image

from sarbench.dataset.layout import Variety
from sarbench.dataset.library import Library, open_library
from sarbench.dataset.picture import picture_of
from sarbench.errors import TrainingError
from sarbench.finetune.recipe import Recipe
from sarbench.run.plan import Plan, select
from sarlens.request import Render

if TYPE_CHECKING:
    from datasets import Dataset

SHOWN_FAULTS = 5


def samples(recipe: Recipe) -> Dataset:
    """The recipe's training texts, worded as ``sarbench run`` asks them; pictures are rendered as they are needed.

    A sample is ``{"images": [picture], "prompt": [message], "completion": [message]}``, as TRL reads it.

    Raises:
        DatasetError: the data set cannot be read, at once or, for an image, when it is needed.
        TrainingError: it has bad rows, or no text of the recipe's applications.
    """
    from datasets import Dataset  # noqa: PLC0415  takes a second to import

    library = open_library(recipe.data)
    parts = library.of_split("train")
    plan = Plan(
        model=recipe.base,
        data=recipe.data,
        texts={},
        split="train",
        applications=list(recipe.applications),
        limit=recipe.limit,
        seed=recipe.seed,
        prefix_classes={Variety.SARVQA1, Variety.SARVQA2} <= {part.variety for part in parts},
    )
    selection = select(library, plan)
    if selection.faults:
        first = "; ".join(map(str, selection.faults[:SHOWN_FAULTS]))
        raise TrainingError(f"{len(selection.faults):,} bad rows, sarbench validate names them all: {first}")
    if not selection.total:
        raise TrainingError(f"{recipe.data} has no text to train on of these applications")
    texts = [{"image": item.image, "asked": plan.prompt(item), "answer": item.answer.strip()} for item in selection]
    return Dataset.from_list(texts).with_transform(_Shown(library, recipe.size))


class _Shown:
    """Turns columns of texts into conversations with pictures."""

    def __init__(self, library: Library, size: int) -> None:
        self._library = library
        self._size = size

    def __call__(self, texts: dict[str, list[str]]) -> dict[str, list[Any]]:
        return {
            "images": [[self._picture(name)] for name in texts["image"]],
            "prompt": [[{"role": "user", "content": asked}] for asked in texts["asked"]],
            "completion": [[{"role": "assistant", "content": answer}] for answer in texts["answer"]],
        }

    def _picture(self, name: str) -> Image.Image:
        return Image.open(BytesIO(picture_of(self._library, name, Render(), self._size).data)).convert("RGB")
