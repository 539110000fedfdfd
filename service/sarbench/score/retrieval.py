"""A caption without a language model: that of the most similar image among those to learn from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sarbench.dataset.layout import Variety
from sarbench.dataset.library import Library
from sarbench.dataset.picture import picture_of
from sarbench.dataset.rows import Item
from sarbench.errors import DatasetError
from sarbench.run.answers import Answer
from sarlens.request import Render

SIDE = 16
"""Side of the thumbnail that images are compared by."""
PLAIN = Render(preset="plain")
"""No speckle filter: a thumbnail averages it away."""


def retrieve(
    answers: Collection[Answer], tested: Library, train: Library, seen: Callable[[], None] = lambda: None
) -> dict[str, str]:
    """For each caption asked of ``tested`` (by key) a caption of the nearest image of ``train``'s train split.

    Train captions of both lengths are mixed: a concise caption is answered by the neighbour's shortest, any other by
    its longest. ``seen`` is called after each image. Empty where ``train`` has no captions or an image is unreadable.

    Raises:
        DatasetError: a text file cannot be read.
    """
    captions = _train_captions(train)
    names, learned = _features(train, captions, seen)
    tested_names, asked = _features(tested, {answer.image for answer in answers}, seen)
    if not names or not tested_names:
        return {}
    nearest = dict(zip(tested_names, (asked @ learned.T).argmax(axis=1), strict=True))
    found = {answer.key: captions[names[nearest[answer.image]]] for answer in answers if answer.image in nearest}
    concise = {answer.key for answer in answers if answer.variety is Variety.CONCISE}
    return {key: (min if key in concise else max)(texts, key=len) for key, texts in found.items()}


def _train_captions(train: Library) -> dict[str, list[str]]:
    captions: defaultdict[str, list[str]] = defaultdict(list)
    for part in train.of_split("train"):
        if part.variety.is_caption:
            for row in train.rows(part):
                if isinstance(row, Item):
                    captions[row.image].append(row.answer)
    return captions


def _features(
    library: Library, images: Collection[str], seen: Callable[[], None]
) -> tuple[list[str], NDArray[np.float32]]:
    """Names of the images that can be read, and a unit vector for each, shape (image, feature)."""
    with ThreadPoolExecutor() as pool:
        described = list(_counted(pool.map(lambda name: _describe(library, name), images), seen))
    pairs = [(name, vector) for name, vector in zip(images, described, strict=True) if vector is not None]
    names = [name for name, _ in pairs]
    return names, np.array([vector for _, vector in pairs], dtype=np.float32).reshape(len(pairs), -1)


def _describe(library: Library, name: str) -> NDArray[np.float32] | None:
    """A thumbnail's grey levels, in place and sorted, centred, as one unit vector: what is where, and how much."""
    try:
        data = picture_of(library, name, PLAIN, SIDE).data
    except DatasetError:
        return None
    with Image.open(BytesIO(data)) as picture:
        levels = picture.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
    small = np.asarray(levels, dtype=np.float32).ravel()
    vector = np.concatenate([small - small.mean(), np.sort(small) - 127.5])
    unit: NDArray[np.float32] = (vector / max(float(np.linalg.norm(vector)), 1e-9)).astype(np.float32)
    return unit


def _counted(
    vectors: Iterator[NDArray[np.float32] | None], seen: Callable[[], None]
) -> Iterator[NDArray[np.float32] | None]:
    for vector in vectors:
        seen()
        yield vector
