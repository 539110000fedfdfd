"""The texts of a data set as records with prompts and image files, which every format shares."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path, PurePosixPath

from PIL import Image

from sarbench.dataset.render import image_size, render_image
from sarbench.dataset.rows import Sample
from sarbench.dataset.sarlang import SarlangDataset
from sarbench.errors import DatasetError
from sarbench.run.config import RunConfig, Selection
from sarlens.types.render_params import RenderParams

IMAGE_DIR = "images"


@dataclass(frozen=True, slots=True)
class Record:
    """One text: its key, the file of its image, its question, the prompt of ``sarbench run``, and the true answer."""

    key: str
    image: Path
    subset: str
    application: str
    question: str
    prompt: str
    answer: str


class ImageFiles:
    """Files of images that other tools can open: those of the data set, or rendered PNG files."""

    def __init__(self, dataset: SarlangDataset, out: Path, *, rendered: bool) -> None:
        self._dataset = dataset
        self._out = out
        self._rendered = rendered
        self._done: dict[str, Path] = {}

    def file_of(self, name: str) -> Path:
        """Return the file of an image. Rendered images keep their size in pixels, so that boxes stay right.

        Raises:
            DatasetError: the image is missing or cannot be decoded, or a data set in S3 isn't rendered.
        """
        if not self._rendered:
            if "://" in self._dataset.location:
                raise DatasetError("the images of a data set in S3 have no files: pass --render")
            return Path(self._dataset.location).absolute() / (self._dataset.image_path(name) or name)
        if name not in self._done:
            self._done[name] = self._render(name)
        return self._done[name]

    def _render(self, name: str) -> Path:
        path = self._out / IMAGE_DIR / PurePosixPath(self._dataset.relative_image_path(name)).with_suffix(".png")
        path.parent.mkdir(parents=True, exist_ok=True)
        size = max(image_size(self._dataset, name))
        with Image.open(BytesIO(render_image(self._dataset, name, RenderParams(size=size), size).data)) as image:
            image.save(path, "PNG")
        return path.absolute()


def iter_records(selection: Selection, config: RunConfig, images: ImageFiles) -> Iterator[Record]:
    """Yield a record for each selected text.

    Raises:
        DatasetError: an image cannot be read.
    """
    for sample in selection:
        yield _record(sample, config, images)


def _record(sample: Sample, config: RunConfig, images: ImageFiles) -> Record:
    return Record(
        sample.key,
        images.file_of(sample.image),
        sample.file.subset,
        sample.application,
        sample.question,
        config.prompt(sample),
        sample.answer,
    )
