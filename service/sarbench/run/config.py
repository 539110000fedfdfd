"""Configuration of a run, saved in ``run.json`` so that a resumed run sends the same requests."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from hashlib import blake2b, sha256
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from sarbench.dataset.release_files import Split, Subset
from sarbench.dataset.rows import InvalidRow, Sample
from sarbench.dataset.sarlang import SarlangDataset
from sarbench.errors import RunError
from sarlens.prompts.applications import Application
from sarlens.prompts.classify import BOX
from sarlens.prompts.templates import caption_prompt, question_prompt
from sarlens.types.render_params import BoxPixels

RUN_FILE = "run.json"


@dataclass(frozen=True)
class RunConfig:
    """The options that determine a run's requests, with the model and the data set.

    ``texts`` maps each text file to its SHA-256, and ``images`` is one of the paths and sizes of the images, to detect
    a changed data set; the data set itself can move. ``limit`` selects that many texts
    at random by ``seed``. ``body`` is merged into every request; a null value removes a field. ``boxes`` is ``image``
    if the endpoint converts the boxes of a question to those that the model sees, as Sarlens does.
    """

    model: str
    data: str
    texts: dict[str, str]
    split: Split | None = "test"
    applications: list[Application] = field(default_factory=list)
    limit: int | None = None
    seed: int = 0
    blackout: bool = False
    prefix_classes: bool = False
    image_url_prefix: str | None = None
    sar: dict[str, Any] | None = None
    max_tokens: int = 128
    body: dict[str, Any] = field(default_factory=dict)
    boxes: BoxPixels = "picture"
    images: str = ""

    def includes(self, sample: Sample) -> bool:
        """Whether the sample belongs to a selected application."""
        return not self.applications or sample.application in self.applications

    def prompt(self, sample: Sample) -> str:
        """Return the paper's prompt for a sample, with the class list first if ``prefix_classes`` is set."""
        if sample.file.subset.is_caption:
            return caption_prompt("concise")
        classes = self.prefix_classes and sample.file.subset is Subset.SARVQA1
        return question_prompt(sample.question, sample.application, classes=classes)

    def render_fields(self, sample: Sample) -> dict[str, Any] | None:
        """Return the ``sar`` object for the image of a sample, or None. It asks for the conversion of boxes."""
        if self.boxes == "image" and BOX.search(sample.question):
            return {"boxes": "image", **(self.sar or {})}
        return self.sar

    def request_body(self, sample: Sample, image_url: dict[str, Any]) -> dict[str, Any]:
        """Return the chat request body: the image, then the prompt."""
        content = [{"type": "image_url", "image_url": image_url}, {"type": "text", "text": self.prompt(sample)}]
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": content}],
            "temperature": 0,
            "max_tokens": self.max_tokens,
            **self.body,
        }
        return {name: value for name, value in body.items() if value is not None}


@dataclass(frozen=True)
class Selection:
    """The samples of a run: their number, the invalid rows that were skipped, and an iterator.

    ``images`` is the SHA-256 of the paths and sizes of all images of the split.
    """

    total: int
    images: str
    invalid_rows: tuple[InvalidRow, ...]
    _dataset: SarlangDataset
    _config: RunConfig
    _keys: frozenset[str] | None

    def __iter__(self) -> Iterator[Sample]:
        for sample in _iter_samples(self._dataset, self._config, lambda _: None):
            if self._keys is None or sample.key in self._keys:
                yield sample


def select_samples(dataset: SarlangDataset, config: RunConfig) -> Selection:
    """Read the texts once to count samples, collect invalid rows, and select ``config.limit`` samples.

    Raises:
        DatasetError: a file cannot be read.
    """
    invalid_rows: list[InvalidRow] = []
    names: set[str] = set()

    def keys() -> Iterator[str]:
        for sample in _iter_samples(dataset, config, invalid_rows.append):
            names.add(sample.image)
            yield sample.key

    if config.limit is None:
        selected, total = None, sum(1 for _ in keys())
    else:
        ranked = heapq.nsmallest(config.limit, keys(), lambda key: blake2b(f"{config.seed} {key}".encode()).digest())
        selected, total = frozenset(ranked), len(ranked)
    return Selection(total, _fingerprint(dataset, names), tuple(invalid_rows), dataset, config, selected)


def _fingerprint(dataset: SarlangDataset, names: set[str]) -> str:
    """Return the hash of the names and sizes in bytes of some images."""
    digest = sha256()
    for name in sorted(names):
        digest.update(f"{name} {dataset.image_bytes[dataset.image_path(name) or '']}\n".encode())
    return digest.hexdigest()


def _iter_samples(
    dataset: SarlangDataset, config: RunConfig, on_error: Callable[[InvalidRow], None]
) -> Iterator[Sample]:
    for file in dataset.files_of_split(config.split):
        for row in dataset.rows(file):
            if isinstance(row, InvalidRow):
                on_error(row)
            elif config.includes(row):
                yield row


@dataclass(frozen=True)
class RunMetadata:
    """Facts about a run in ``run.json``: version, start time, endpoint, number of texts, and number of invalid rows."""

    sarbench: str
    began: str
    endpoint: str
    total: int
    bad_rows: int


@dataclass(frozen=True)
class _RunFile:
    """The contents of ``run.json``."""

    about: RunMetadata
    plan: RunConfig


_ADAPTER = TypeAdapter(_RunFile)


def save_run(out: Path, config: RunConfig, metadata: RunMetadata) -> None:
    """Write ``run.json`` into a new folder, or check that an existing run has the same configuration.

    Raises:
        RunError: the folder holds a different run or an unreadable ``run.json``.
    """
    out.mkdir(parents=True, exist_ok=True)
    if not (out / RUN_FILE).exists():
        replace_run(out, config, metadata)
        return
    existing = load_config(out)
    if differences := [
        field.name
        for field in fields(RunConfig)
        if field.name != "data" and getattr(existing, field.name) != getattr(config, field.name)
    ]:
        raise RunError(f"{out} holds a run that differs in {', '.join(differences)}: choose another --out")
    if existing.data != config.data:
        replace_run(out, config, load_metadata(out))


def replace_run(out: Path, config: RunConfig, metadata: RunMetadata) -> None:
    """Write ``run.json`` in place of an earlier one."""
    (out / RUN_FILE).write_bytes(_ADAPTER.dump_json(_RunFile(metadata, config), indent=2) + b"\n")


def load_config(out: Path) -> RunConfig:
    """Return the configuration of the run in a folder.

    Raises:
        RunError: the folder has no readable ``run.json``.
    """
    return _load_run_file(out).plan


def load_metadata(out: Path) -> RunMetadata:
    """Return the metadata of the run in a folder.

    Raises:
        RunError: the folder has no readable ``run.json``.
    """
    return _load_run_file(out).about


def _load_run_file(out: Path) -> _RunFile:
    try:
        return _ADAPTER.validate_json((out / RUN_FILE).read_bytes())
    except (OSError, ValidationError) as error:
        raise RunError(f"{out} has no run: {RUN_FILE} is missing, unreadable, or from another version") from error
