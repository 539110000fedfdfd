"""Reading of a run's answers."""

from __future__ import annotations

from pathlib import Path

import pytest
from run_command import TEST_TEXTS, run_command

from sarbench.run.answers import read_answers
from support.sarlang_fixture import write_released
from support.workers.fake_openai_server import FakeOpenAIServer


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A small data set in the layout of the release."""
    return write_released(tmp_path / "data")


async def test_a_partial_line_is_removed_and_its_text_sent_again(
    oracle: FakeOpenAIServer, data: Path, tmp_path: Path
) -> None:
    """A partial last line loses only its own answer, which the next run requests again."""
    await run_command(oracle, data, tmp_path / "run")
    path = tmp_path / "run" / "answers.jsonl"
    whole = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(whole[:-1]) + whole[-1][:25])
    assert len(read_answers(tmp_path / "run")) == TEST_TEXTS - 1
    result = await run_command(oracle, data, tmp_path / "run")
    assert result.exit_code == 0
    assert len(oracle.bodies) == TEST_TEXTS + 1
    assert len(read_answers(tmp_path / "run")) == TEST_TEXTS


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{not json}\n", "damaged line; remove it"),
        (b"[]\n", "not an answer; remove this line"),
        (b'{"key": "k"}\n', "not an answer; remove this line"),
    ],
)
async def test_a_damaged_line_is_reported(
    line: bytes, reason: str, oracle: FakeOpenAIServer, data: Path, tmp_path: Path
) -> None:
    """A damaged line stops the run, is reported by its number, and is left unchanged."""
    await run_command(oracle, data, tmp_path / "run")
    path = tmp_path / "run" / "answers.jsonl"
    whole = path.read_bytes()
    path.write_bytes(line + whole)
    result = await run_command(oracle, data, tmp_path / "run")
    assert result.exit_code == 1
    assert f"answers.jsonl:1: {reason} and run the command again" in result.output
    assert path.read_bytes() == line + whole


async def test_answers_with_the_earlier_key_of_the_subset_are_read(
    oracle: FakeOpenAIServer, data: Path, tmp_path: Path
) -> None:
    """A run whose answers name their subset ``variety`` is complete and sends no request."""
    await run_command(oracle, data, tmp_path / "run")
    path = tmp_path / "run" / "answers.jsonl"
    answers = read_answers(tmp_path / "run")
    path.write_text(path.read_text().replace('"subset":', '"variety":'))
    assert read_answers(tmp_path / "run") == answers
    assert (await run_command(oracle, data, tmp_path / "run")).exit_code == 0
    assert len(oracle.bodies) == TEST_TEXTS
