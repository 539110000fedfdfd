"""The file of answers: lines are whole or not there."""

from __future__ import annotations

import json
import resource
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarbench.errors import RunError
from sarbench.run.ledger import Ledger, read_ledger

RECORDS = st.lists(st.dictionaries(st.text(max_size=5), st.text(max_size=200), max_size=3), max_size=6)


@given(RECORDS, st.integers(0, 2000))
def test_cut_anywhere_the_whole_lines_remain(records: list[dict[str, str]], cut: int) -> None:
    """However much of the end is missing, every line before the cut is read, and writing goes on after it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "answers.jsonl")
        with Ledger(path) as ledger:
            for record in records:
                ledger.append(record)
        data = path.read_bytes()
        path.write_bytes(data[: max(0, len(data) - cut)])
        whole = list(read_ledger(path))
        assert whole == records[: len(whole)]
        with Ledger(path) as ledger:
            ledger.append({"more": "yes"})
        assert list(read_ledger(path)) == [*whole, {"more": "yes"}]


def test_a_long_half_line_is_found_and_dropped(tmp_path: Path) -> None:
    """A half line longer than one look back is dropped as a short one is."""
    path = tmp_path / "answers.jsonl"
    path.write_bytes(b'{"key": 1}\n' + b'{"key": "' + b"x" * 200_000)
    with Ledger(path):
        pass
    assert path.read_bytes() == b'{"key": 1}\n'


def test_two_runs_do_not_write_one_file(tmp_path: Path) -> None:
    """The second writer is told, and the first goes on."""
    path = tmp_path / "answers.jsonl"
    with Ledger(path) as ledger:
        with pytest.raises(RunError, match="another sarbench is writing"):
            Ledger(path)
        ledger.append({"key": "a"})
    with Ledger(path):
        assert list(read_ledger(path)) == [{"key": "a"}]


def test_a_line_is_on_disk_when_append_returns(tmp_path: Path) -> None:
    """Nothing waits in the process's memory."""
    path = tmp_path / "answers.jsonl"
    with Ledger(path) as ledger:
        ledger.append({"key": "ä"})
        assert json.loads(path.read_text(encoding="utf-8")) == {"key": "ä"}


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    """A file that cannot be opened is a sentence, not a traceback."""
    with pytest.raises(RunError, match="cannot be written: No such file or directory"):
        Ledger(tmp_path / "gone" / "answers.jsonl")


def test_a_disk_that_takes_no_more_is_told_and_costs_one_line(tmp_path: Path) -> None:
    """A line that fits only in part stops the run with a sentence; the lines before it stay."""
    path = tmp_path / "answers.jsonl"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Ledger(path) as ledger:
        ledger.append({"key": "a"})
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (20, hard))
            with pytest.raises(RunError, match="cannot be written: File too large"):
                ledger.append({"key": "b" * 100})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.stat().st_size == 20
    with Ledger(path):
        assert path.read_text() == '{"key":"a"}\n'
