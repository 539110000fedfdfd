"""Conversations for training: LLaMA-Factory's ``dataset_info.json`` with its file, and ms-swift's JSON Lines."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson

from sarbench.export.records import Record


def write_llamafactory(records: Iterable[Record], out: Path, name: str) -> int:
    """Write ``NAME.jsonl`` and its entry in ``dataset_info.json``, and return the number of records.

    Entries of other data sets in the same ``dataset_info.json`` stay. ``--dataset_dir`` of LLaMA-Factory is ``out``.
    """
    count = _write_lines(out / f"{name}.jsonl", map(conversation, records))
    path = out / "dataset_info.json"
    info: dict[str, Any] = orjson.loads(path.read_bytes()) if path.exists() else {}
    info[name] = {
        "file_name": f"{name}.jsonl",
        "formatting": "sharegpt",
        "columns": {"messages": "messages", "images": "images"},
        "tags": {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"},
    }
    path.write_bytes(orjson.dumps(info, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    return count


def write_swift(records: Iterable[Record], out: Path, name: str) -> int:
    """Write ``NAME.jsonl`` for ``swift sft --dataset``, and return the number of records."""
    return _write_lines(out / f"{name}.jsonl", map(conversation, records))


def conversation(record: Record) -> dict[str, Any]:
    """Return a conversation with one image token in the user's message. ``key`` is that of the text."""
    return {
        "messages": [
            {"role": "user", "content": f"<image>{record.prompt}"},
            {"role": "assistant", "content": record.answer.strip()},
        ],
        "images": [str(record.image)],
        "key": record.key,
    }


def _write_lines(path: Path, documents: Iterable[dict[str, Any]]) -> int:
    count = 0
    with path.open("wb") as file:
        for document in documents:
            file.write(orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE))
            count += 1
    return count
