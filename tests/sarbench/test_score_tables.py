"""Tables of scores, with rows for parts of a data set that have no texts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from score_command import run_and_score, sarbench_command

from support.workers.fake_openai_server import FakeOpenAIServer, serving


@pytest.fixture
async def oracle() -> AsyncIterator[FakeOpenAIServer]:
    """An endpoint with one answer."""
    async with serving(FakeOpenAIServer(lambda _: "4")) as running:
        yield running


def row_of(output: str, title: str) -> list[str]:
    """Return the cells of a row of a printed table."""
    line = next(line for line in output.splitlines() if f"│ {title} " in line)
    return [cell.strip() for cell in line.strip("│ ").split("│")]


async def test_a_data_set_without_training_images_is_scored(oracle: FakeOpenAIServer, tmp_path: Path) -> None:
    """Without training images, the nearest caption is a row of dashes, and majority answers come from the texts."""
    data, run = tmp_path / "data", tmp_path / "run"
    assert (await sarbench_command("simulate", "--images", "0", "--test", "3", "--out", str(data))).exit_code == 0
    result, score = await run_and_score(oracle, data, run)
    assert row_of(result.output, "nearest") == ["nearest", "0", *"-------"]
    assert score["baselines"]["majority_from"] == "by application, among the scored texts themselves"
    assert score["baselines"]["majority"]["overall"]["mean"] > 0
    assert score["baselines"]["retrieval"] == {}
    result = await sarbench_command("report", str(run))
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("application", "title", "section"),
    [("instance_counting", "none", "has no captions"), ("image_description", "Overall", "has no questions")],
)
async def test_a_run_of_one_half_has_a_row_for_the_other(
    application: str, title: str, section: str, oracle: FakeOpenAIServer, tmp_path: Path
) -> None:
    """A run without captions, or without questions, has a row of zero texts for them."""
    data, run = tmp_path / "data", tmp_path / "run"
    await sarbench_command("simulate", "--images", "2", "--test", "6", "--out", str(data))
    more = ("--base-url", oracle.url, "--model", "m", "--data", str(data), "--out", str(run))
    await sarbench_command("run", *more, "--application", application)
    result = await sarbench_command("score", str(run))
    assert result.exit_code == 0, result.output
    assert row_of(result.output, title)[1] == "0"
    assert set(row_of(result.output, title)[2:]) == {"-"}
    assert (await sarbench_command("report", str(run))).exit_code == 0
    assert section in (run / "report.html").read_text()


async def test_a_data_set_without_texts_ends_in_a_sentence(oracle: FakeOpenAIServer, tmp_path: Path) -> None:
    """Each command on an empty data set gives one sentence instead of a traceback."""
    data, run = tmp_path / "data", tmp_path / "run"
    await sarbench_command("simulate", "--images", "0", "--test", "0", "--out", str(data))
    more = ("--base-url", oracle.url, "--model", "m", "--data", str(data), "--out", str(run))
    for command, sentence in (
        (("run", *more), "the test split has no texts"),
        (("score", str(run)), "has no run"),
        (("report", str(run)), "has no run"),
    ):
        result = await sarbench_command(*command)
        assert result.exit_code == 1
        assert sentence in result.output
        assert "Traceback" not in result.output
