"""Training conversations for fine-tuning, built from the texts and images of a data set."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

from PIL import Image

from sarbench.dataset.release_files import Subset
from sarbench.dataset.render import render_image
from sarbench.dataset.sarlang import SarlangDataset, open_dataset
from sarbench.errors import DatasetError, TrainingError
from sarbench.finetune.config import FinetuneConfig
from sarbench.run.config import RunConfig, select_samples
from sarlens.errors import SarlensError
from sarlens.imagery.core.raster import RenderedImage
from sarlens.inference.picture_boxes import PictureBoxes
from sarlens.prompts.boxes import BoxFormat
from sarlens.types.render_params import RenderParams

if TYPE_CHECKING:
    from datasets import Dataset

MAX_SHOWN_ERRORS = 5


def build_training_dataset(config: FinetuneConfig) -> Dataset:
    """Return the training texts with the prompts of ``sarbench run``. Images are rendered on access.

    Boxes of the texts become those of the rendered image, in the form in which the data set writes them.

    Each sample is ``{"images": [image], "prompt": [message], "completion": [message]}``, the format of TRL.

    Raises:
        DatasetError: the data set cannot be read, or later, an image cannot be read on access, or a
            box of its texts is outside of it.
        TrainingError: the data set has invalid rows, or no text of the selected applications.
    """
    from datasets import Dataset  # noqa: PLC0415  takes a second to import

    dataset = open_dataset(config.data)
    files = dataset.files_of_split("train")
    run_config = RunConfig(
        model=config.base_model,
        data=config.data,
        texts={},
        split="train",
        applications=list(config.applications),
        limit=config.limit,
        seed=config.seed,
        prefix_classes={Subset.SARVQA1, Subset.SARVQA2} <= {file.subset for file in files},
    )
    selection = select_samples(dataset, run_config)
    if selection.invalid_rows:
        first = "; ".join(map(str, selection.invalid_rows[:MAX_SHOWN_ERRORS]))
        raise TrainingError(f"{len(selection.invalid_rows):,} invalid rows (list them with sarbench validate): {first}")
    if not selection.total:
        raise TrainingError(f"{config.data} has no train texts of the selected applications")
    records = [
        {"image": sample.image, "prompt": run_config.prompt(sample), "answer": sample.answer.strip()}
        for sample in selection
    ]
    return Dataset.from_list(records).with_transform(_ToConversations(dataset, config.image_size))


class _ToConversations:
    """Transform of text columns into conversations with images."""

    def __init__(self, dataset: SarlangDataset, size: int) -> None:
        self._dataset = dataset
        self._size = size

    def __call__(self, columns: dict[str, list[str]]) -> dict[str, list[Any]]:
        names = columns["image"]
        pictures = [render_image(self._dataset, name, RenderParams(), self._size) for name in names]
        prompts, answers = (
            [
                _with_picture_boxes(text, picture, name)
                for text, picture, name in zip(texts, pictures, names, strict=True)
            ]
            for texts in (columns["prompt"], columns["answer"])
        )
        return {
            "images": [[Image.open(BytesIO(picture.data)).convert("RGB")] for picture in pictures],
            "prompt": [[{"role": "user", "content": prompt}] for prompt in prompts],
            "completion": [[{"role": "assistant", "content": answer}] for answer in answers],
        }


def _with_picture_boxes(text: str, picture: RenderedImage, name: str) -> str:
    try:
        return PictureBoxes(picture.frame, BoxFormat()).to_picture_text(text, "text")
    except SarlensError as error:
        raise DatasetError(f"{name}: {error.message}") from error
