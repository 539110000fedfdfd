"""What a run asks and how: fixed when it begins, so that going on later asks the same."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from hashlib import blake2b
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from sarbench.dataset.layout import Split, Variety
from sarbench.dataset.library import Library
from sarbench.dataset.rows import Fault, Item
from sarbench.errors import RunError
from sarlens.prompts.applications import Application
from sarlens.prompts.wording import caption_prompt, question_prompt

FILE = "run.json"


@dataclass(frozen=True)
class Plan:
    """The choices that decide which requests a run sends, and the model and data that they are for.

    ``texts`` maps each text file to its size in bytes, so that a changed data set is noticed. ``limit`` draws that
    many texts by ``seed``. ``body`` is merged into every request; null takes a field out.
    """

    model: str
    data: str
    texts: dict[str, int]
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

    def wants(self, item: Item) -> bool:
        """Whether the item is of the applications asked for."""
        return not self.applications or item.application in self.applications

    def prompt(self, item: Item) -> str:
        """The paper's words for this text, with the classes named first where subsets are mixed."""
        if item.part.variety.is_caption:
            return caption_prompt("concise")
        classes = self.prefix_classes and item.part.variety is Variety.SARVQA1
        return question_prompt(item.question, item.application, classes=classes)

    def request(self, item: Item, image_url: dict[str, Any]) -> dict[str, Any]:
        """The chat body: the picture, then the prompt."""
        parts = [{"type": "image_url", "image_url": image_url}, {"type": "text", "text": self.prompt(item)}]
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": parts}],
            "temperature": 0,
            "max_tokens": self.max_tokens,
            **self.body,
        }
        return {name: value for name, value in body.items() if value is not None}


@dataclass(frozen=True)
class Selection:
    """The texts that a plan asks: how many, which bad rows were passed over, and a way to stream them."""

    total: int
    faults: tuple[Fault, ...]
    _library: Library
    _plan: Plan
    _keys: frozenset[str] | None

    def __iter__(self) -> Iterator[Item]:
        for item in _items(self._library, self._plan, lambda _: None):
            if self._keys is None or item.key in self._keys:
                yield item


def select(library: Library, plan: Plan) -> Selection:
    """Read the texts once to count them, find bad rows, and draw ``plan.limit`` of them.

    Raises:
        DatasetError: a file cannot be read.
    """
    faults: list[Fault] = []
    if plan.limit is None:
        total = sum(1 for _ in _items(library, plan, faults.append))
        return Selection(total, tuple(faults), library, plan, None)
    keys = (item.key for item in _items(library, plan, faults.append))
    drawn = heapq.nsmallest(plan.limit, keys, lambda key: blake2b(f"{plan.seed} {key}".encode()).digest())
    return Selection(len(drawn), tuple(faults), library, plan, frozenset(drawn))


def _items(library: Library, plan: Plan, bad: Callable[[Fault], None]) -> Iterator[Item]:
    for part in library.of_split(plan.split):
        for row in library.rows(part):
            if isinstance(row, Fault):
                bad(row)
            elif plan.wants(row):
                yield row


@dataclass(frozen=True)
class About:
    """What ``run.json`` says beside the plan: which version asked which endpoint when, and how many texts there are."""

    sarbench: str
    began: str
    endpoint: str
    total: int
    bad_rows: int


@dataclass(frozen=True)
class _Kept:
    """``run.json`` as a whole."""

    about: About
    plan: Plan


KEPT = TypeAdapter(_Kept)


def keep_plan(out: Path, plan: Plan, about: About) -> None:
    """Write ``run.json`` into a new run's folder, or see that the run there has the same plan.

    Raises:
        RunError: the folder holds another run, or something that is none.
    """
    out.mkdir(parents=True, exist_ok=True)
    path = out / FILE
    if not path.exists():
        path.write_bytes(KEPT.dump_json(_Kept(about, plan), indent=2) + b"\n")
        return
    begun = read_plan(out)
    if other := [field.name for field in fields(Plan) if getattr(begun, field.name) != getattr(plan, field.name)]:
        raise RunError(f"{out} holds a run that differs in {', '.join(other)}: choose another --out")


def read_plan(out: Path) -> Plan:
    """The plan of the run in a folder.

    Raises:
        RunError: there is none.
    """
    return _kept(out).plan


def read_about(out: Path) -> About:
    """What is known of the run in a folder.

    Raises:
        RunError: there is none.
    """
    return _kept(out).about


def _kept(out: Path) -> _Kept:
    try:
        return KEPT.validate_json((out / FILE).read_bytes())
    except (OSError, ValidationError) as error:
        raise RunError(f"{out} holds no run of this sarbench: no readable {FILE}") from error
