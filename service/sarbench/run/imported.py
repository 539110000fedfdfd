"""Runs made of predictions from elsewhere, so that they are scored and reported like others."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

from sarbench.dataset.release_files import Split, Subset
from sarbench.dataset.rows import InvalidRow, Sample
from sarbench.dataset.sarlang import SarlangDataset
from sarbench.errors import RunError
from sarbench.run.answers import Answer, Text, replace_answers, replace_texts
from sarbench.run.completion import Completion
from sarbench.run.config import RUN_FILE, RunConfig, RunMetadata, load_metadata, replace_run
from sarbench.run.predictions import Prediction, read_predictions
from sarlens.prompts.applications import Application
from sarlens.prompts.classify import classify, is_box_derived

IMPORTED = "imported predictions"
"""The endpoint of a run that has none."""


def import_predictions(
    path: Path, out: Path, model: str, dataset: SarlangDataset | None, split: Split | None, *, skip_invalid: bool
) -> list[InvalidRow]:
    """Write a run of the predictions in a file and return the rows that were skipped.

    With ``dataset``, each prediction belongs to the text with its key, or to the next one with its question and truth;
    texts without a prediction are part of the run. An earlier import into ``out`` is replaced.

    Raises:
        RunError: the file cannot be read or has invalid rows, ``out`` holds a run that asked an endpoint, or a
            prediction belongs to no text of the data set.
    """
    if (out / RUN_FILE).exists() and load_metadata(out).endpoint != IMPORTED:
        raise RunError(f"{out} holds a run that asked an endpoint: choose another --out")
    rows = list(read_predictions(path))
    invalid = [row for row in rows if isinstance(row, InvalidRow)]
    if invalid and not skip_invalid:
        raise RunError(
            f"{len(invalid):,} invalid rows, the first is {invalid[0]}: pass --skip-bad-rows to leave them out"
        )
    predictions = [row for row in rows if isinstance(row, Prediction)]
    if not predictions:
        raise RunError(f"{path} has no predictions")
    if dataset is None:
        texts = [_text(path, prediction, split or "test") for prediction in predictions]
        pairs = list(zip(texts, predictions, strict=True))
    else:
        samples = _samples(dataset, split)
        texts = [Text.from_sample(sample) for sample in samples]
        pairs = _match(path, texts, predictions)
    out.mkdir(parents=True, exist_ok=True)
    config = RunConfig(
        model=model,
        data=dataset.location if dataset else "",
        texts={path.name: sha256(path.read_bytes()).hexdigest()},
        split=split,
    )
    began = datetime.now(UTC).isoformat(timespec="seconds")
    replace_run(out, config, RunMetadata(version("sarlens"), began, IMPORTED, len(texts), len(invalid)))
    replace_texts(out, texts)
    replace_answers(out, (Answer.of(text, Completion(prediction.prediction), 0.0) for text, prediction in pairs))
    return invalid


def _samples(dataset: SarlangDataset, split: Split | None) -> list[Sample]:
    return [row for file in dataset.files_of_split(split) for row in dataset.rows(file) if isinstance(row, Sample)]


def _text(path: Path, prediction: Prediction, split: Split) -> Text:
    """Return the text of a prediction alone. Without an image, each row counts as an image of its own."""
    question = prediction.question
    application = classify(question) if question else Application.IMAGE_DESCRIPTION
    boxed = is_box_derived(question, application)
    subset = Subset.MIXED if not question else Subset.SARVQA1 if boxed else Subset.SARVQA2
    image = prediction.image.replace("\\", "/") or f"row {prediction.number}"
    key = f"{path.name}#{prediction.number}"
    return Text(key, image, split, subset, application, question, prediction.truth)


def _match(path: Path, texts: Sequence[Text], predictions: Iterable[Prediction]) -> list[tuple[Text, Prediction]]:
    """Pair each prediction with its text, in the order of the data set for equal questions and truths."""
    by_key = {text.key: text for text in texts}
    waiting: defaultdict[tuple[str, str], deque[Text]] = defaultdict(deque)
    for text in texts:
        waiting[_normal(text.question), _normal(text.truth)].append(text)
    pairs: list[tuple[Text, Prediction]] = []
    used: set[str] = set()
    for prediction in predictions:
        queue = waiting[_normal(prediction.question), _normal(prediction.truth)]
        found = by_key.get(prediction.key) or _next_text(queue, prediction.image)
        while found is not None and found.key in used and not prediction.key:
            found = _next_text(queue, prediction.image)
        if found is None or found.key in used:
            raise RunError(
                f"{path}:{prediction.number}: no text of the data set has this question and truth, or all have a "
                "prediction already"
            )
        used.add(found.key)
        pairs.append((found, prediction))
    return pairs


def _next_text(queue: deque[Text], image: str) -> Text | None:
    """Remove and return the first text about an image, or the first of all if none is; None if the queue is empty."""
    name = image.replace("\\", "/").rpartition("/")[2].lower()
    for index, text in enumerate(queue):
        if name and text.image.rpartition("/")[2].lower() == name:
            del queue[index]
            return text
    return queue.popleft() if queue else None


def _normal(text: str) -> str:
    return " ".join(text.split()).lower()
