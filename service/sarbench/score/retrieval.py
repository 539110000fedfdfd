"""Retrieval baseline: the caption of the most similar train image."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sarbench.dataset.release_files import Subset
from sarbench.dataset.render import render_image
from sarbench.dataset.rows import Sample
from sarbench.dataset.sarlang import SarlangDataset
from sarbench.errors import DatasetError
from sarbench.run.answers import Answer
from sarlens.types.render_params import RenderParams

THUMBNAIL_SIDE = 16
"""Side in pixels of the thumbnails that images are compared by."""
RENDER = RenderParams(preset="plain")
"""Rendering without a speckle filter, because averaging to a thumbnail removes speckle."""


def retrieve_captions(
    answers: Collection[Answer],
    test_dataset: SarlangDataset,
    train_dataset: SarlangDataset,
    on_image: Callable[[], None] = lambda: None,
) -> dict[str, str]:
    """Map each caption answer's key to a caption of the nearest image in the train split.

    Train captions of both lengths are mixed: a concise caption gets the nearest image's shortest caption, any other
    the longest. ``on_image`` is called after each image. Answers are left out if their image cannot be read. The
    result is empty if the train split has no captions.

    Raises:
        DatasetError: a text file cannot be read.
    """
    captions = _train_captions(train_dataset)
    if not captions:
        return {}
    train_names, train_features = _image_features(train_dataset, captions, on_image)
    test_names, test_features = _image_features(test_dataset, {answer.image for answer in answers}, on_image)
    if not train_names or not test_names:
        return {}
    nearest = dict(zip(test_names, (test_features @ train_features.T).argmax(axis=1), strict=True))
    retrieved = {
        answer.key: captions[train_names[nearest[answer.image]]] for answer in answers if answer.image in nearest
    }
    concise = {answer.key for answer in answers if answer.subset is Subset.CONCISE}
    return {key: (min if key in concise else max)(texts, key=len) for key, texts in retrieved.items()}


def _train_captions(dataset: SarlangDataset) -> dict[str, list[str]]:
    captions: defaultdict[str, list[str]] = defaultdict(list)
    for file in dataset.files_of_split("train"):
        if file.subset.is_caption:
            for row in dataset.rows(file):
                if isinstance(row, Sample):
                    captions[row.image].append(row.answer)
    return captions


def _image_features(
    dataset: SarlangDataset, images: Collection[str], on_image: Callable[[], None]
) -> tuple[list[str], NDArray[np.float32]]:
    """Return the names of the readable images and a unit vector for each, shape (image, feature)."""
    with ThreadPoolExecutor() as pool:
        vectors = list(_with_progress(pool.map(lambda name: _image_feature(dataset, name), images), on_image))
    pairs = [(name, vector) for name, vector in zip(images, vectors, strict=True) if vector is not None]
    names = [name for name, _ in pairs]
    return names, np.array([vector for _, vector in pairs], dtype=np.float32).reshape(len(pairs), 2 * THUMBNAIL_SIDE**2)


def _image_feature(dataset: SarlangDataset, name: str) -> NDArray[np.float32] | None:
    """Return a unit vector of a thumbnail's centered gray levels, first by position, then sorted."""
    try:
        data = render_image(dataset, name, RENDER, THUMBNAIL_SIDE).data
    except DatasetError:
        return None
    with Image.open(BytesIO(data)) as image:
        levels = image.convert("L").resize((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.BOX)
    small = np.asarray(levels, dtype=np.float32).ravel()
    vector = np.concatenate([small - small.mean(), np.sort(small) - 127.5])
    unit: NDArray[np.float32] = (vector / max(float(np.linalg.norm(vector)), 1e-9)).astype(np.float32)
    return unit


def _with_progress(
    vectors: Iterator[NDArray[np.float32] | None], on_image: Callable[[], None]
) -> Iterator[NDArray[np.float32] | None]:
    for vector in vectors:
        on_image()
        yield vector
