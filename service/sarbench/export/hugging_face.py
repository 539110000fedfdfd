"""A data set for ``datasets.load_dataset``: Parquet files with embedded images, and a card."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from sarbench.export.records import Record
from sarbench.preflight import require_modules

ROWS_PER_FILE = 5_000
_CARD = """---
configs:
- config_name: default
  data_files:
  - split: {split}
    path: data/{split}-*.parquet
---

Texts in the layout of SARLANG-1M, exported by `sarbench export`. Check the licenses of the images before you publish
this data set: SARLANG-1M states none for its texts.
"""


def write_hugging_face(records: Iterable[Record], out: Path, split: str) -> int:
    """Write ``data/SPLIT-*.parquet`` and ``README.md``, and return the number of records.

    Raises:
        RequirementError: the package datasets isn't installed.
    """
    require_modules(
        "sarbench export --to hf", ("datasets",), 'install the extra finetune, such as pip install ".[finetune]"'
    )
    from datasets import Dataset, Features, Image, Value  # noqa: PLC0415  takes a second to import

    names = ("key", "subset", "application", "question", "prompt", "answer")
    features = Features({"image": Image(), **{name: Value("string") for name in names}})
    (out / "data").mkdir(exist_ok=True)
    for old in (out / "data").glob(f"{split}-*.parquet"):
        old.unlink()
    count = 0
    remaining = iter(records)
    while part := list(islice(remaining, ROWS_PER_FILE)):
        path = out / "data" / f"{split}-{count // ROWS_PER_FILE:05d}.parquet"
        count += len(part)
        with tempfile.TemporaryDirectory() as cache:
            rows = Dataset.from_generator(_rows, features=features, gen_kwargs={"records": part}, cache_dir=cache)
            rows.to_parquet(path)
    (out / "README.md").write_text(_CARD.format(split=split), encoding="utf-8")
    return count


def _rows(records: list[Record]) -> Iterator[dict[str, Any]]:
    for record in records:
        yield {
            "image": {"bytes": record.image.read_bytes(), "path": record.image.name},
            "key": record.key,
            "subset": str(record.subset),
            "application": str(record.application),
            "question": record.question,
            "prompt": record.prompt,
            "answer": record.answer,
        }
