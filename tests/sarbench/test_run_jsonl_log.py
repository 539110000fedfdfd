"""The JSON Lines log: lines are complete or absent."""

from __future__ import annotations

import json
import resource
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarbench.errors import RunError
from sarbench.run.jsonl_log import JsonlLog, read_jsonl

RECORDS = st.lists(st.dictionaries(st.text(max_size=5), st.text(max_size=200), max_size=3), max_size=6)


@given(RECORDS, st.integers(0, 2000))
def test_complete_lines_survive_truncation(records: list[dict[str, str]], cut: int) -> None:
    """After truncation at any byte, all complete lines are read, and appending continues after them."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "answers.jsonl")
        with JsonlLog(path) as log:
            for record in records:
                log.append(record)
        data = path.read_bytes()
        path.write_bytes(data[: max(0, len(data) - cut)])
        whole = list(read_jsonl(path))
        assert whole == records[: len(whole)]
        with JsonlLog(path) as log:
            log.append({"more": "yes"})
        assert list(read_jsonl(path)) == [*whole, {"more": "yes"}]


def test_a_long_partial_line_is_removed(tmp_path: Path) -> None:
    """A partial line longer than one read block is removed."""
    path = tmp_path / "answers.jsonl"
    path.write_bytes(b'{"key": 1}\n' + b'{"key": "' + b"x" * 200_000)
    with JsonlLog(path):
        pass
    assert path.read_bytes() == b'{"key": 1}\n'


def test_a_second_writer_is_rejected(tmp_path: Path) -> None:
    """A second writer is rejected, and the first continues."""
    path = tmp_path / "answers.jsonl"
    with JsonlLog(path) as log:
        with pytest.raises(RunError, match="another sarbench process is writing"):
            JsonlLog(path)
        log.append({"key": "a"})
    with JsonlLog(path):
        assert list(read_jsonl(path)) == [{"key": "a"}]


def test_lines_are_visible_when_append_returns(tmp_path: Path) -> None:
    """A line is in the file when append returns."""
    path = tmp_path / "answers.jsonl"
    with JsonlLog(path) as log:
        log.append({"key": "ä"})
        assert json.loads(path.read_text(encoding="utf-8")) == {"key": "ä"}


def test_a_missing_directory_is_reported(tmp_path: Path) -> None:
    """A file that cannot be opened raises a RunError with the cause."""
    with pytest.raises(RunError, match="cannot be written: No such file or directory"):
        JsonlLog(tmp_path / "gone" / "answers.jsonl")


def test_a_full_disk_loses_at_most_one_line(tmp_path: Path) -> None:
    """A partially written line raises a RunError, and earlier lines are kept."""
    path = tmp_path / "answers.jsonl"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with JsonlLog(path) as log:
        log.append({"key": "a"})
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (20, hard))
            with pytest.raises(RunError, match="cannot be written: File too large"):
                log.append({"key": "b" * 100})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.stat().st_size == 20
    with JsonlLog(path):
        assert path.read_text() == '{"key":"a"}\n'
