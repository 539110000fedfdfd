"""Configuration of a run, and the requests and texts that it selects."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from run_command import TEST_TEXTS, run_command

from sarbench.run.answers import read_answers
from sarbench.run.config import load_config, load_metadata
from support.sarlang_fixture import BOXED, SARDET, write_questions, write_released
from support.workers.fake_openai_server import FakeOpenAIServer, prompt


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A small data set in the layout of the release."""
    return write_released(tmp_path / "data")


async def test_boxed_questions_have_a_class_prefix_if_subsets_are_mixed(
    oracle: FakeOpenAIServer, data: Path, tmp_path: Path
) -> None:
    """SARVQA1 questions have a class prefix only if SARVQA2 is included."""
    question = "What is the object present in the area [56.0, 191.0, 112.0, 122.0]?"
    class_prompt = f"Question: The classes are: tank, car, aircraft, harbor, bridge, ship. {question}. Answer"
    position_prompt = "Question: The classes are: top, center, bottom, left, right. Where are most bridges"
    await run_command(oracle, data, tmp_path / "mixed")
    prompts = [prompt(body) for body in oracle.bodies]
    assert sum(text.startswith((class_prompt, position_prompt)) for text in prompts) == 2
    assert sum("The classes are" in text for text in prompts) == 3
    oracle.bodies.clear()
    (data / "Text/VQA/test/SARVQA2_test.csv").unlink()
    await run_command(oracle, data, tmp_path / "alone")
    assert not any("The classes are" in prompt(body) for body in oracle.bodies)


async def test_a_limit_selects_the_same_texts_for_a_seed(oracle: FakeOpenAIServer, data: Path, tmp_path: Path) -> None:
    """A limit selects as many texts as requested, the same for equal seeds and others for different seeds."""
    selections = []
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        await run_command(oracle, data, tmp_path / name, "--limit", "7", "--seed", seed)
        selections.append({answer.key for answer in read_answers(tmp_path / name)})
    assert len(selections[0]) == 7
    assert selections[0] == selections[1] != selections[2]
    assert load_metadata(tmp_path / "a").total == 7


async def test_runs_can_be_limited_to_an_application(oracle: FakeOpenAIServer, data: Path, tmp_path: Path) -> None:
    """Only texts of the selected application are sent."""
    await run_command(oracle, data, tmp_path / "run", "--application", "instance_counting")
    assert {answer.question for answer in read_answers(tmp_path / "run")} == {row[1] for row in BOXED[:2]}


async def test_a_different_configuration_is_rejected(oracle: FakeOpenAIServer, data: Path, tmp_path: Path) -> None:
    """A run with other options or a changed data set is rejected in the same directory."""
    await run_command(oracle, data, tmp_path / "run")
    result = await run_command(oracle, data, tmp_path / "run", "--blackout")
    assert result.exit_code == 1
    assert "holds a run that differs in blackout" in result.output
    write_questions(data / "Text/VQA/test/SARVQA1_test.csv", [(SARDET, "Q?", "A")])
    result = await run_command(oracle, data, tmp_path / "run")
    assert "holds a run that differs in texts" in result.output


async def test_extra_fields_are_merged_into_every_request(oracle: FakeOpenAIServer, data: Path, tmp_path: Path) -> None:
    """--body adds fields to every request and removes fields with null."""
    await run_command(oracle, data, tmp_path / "run", "--body", '{"max_tokens": null, "max_completion_tokens": 9}')
    assert all("max_tokens" not in body and body["max_completion_tokens"] == 9 for body in oracle.bodies)


async def test_an_edit_of_equal_length_is_noticed(oracle: FakeOpenAIServer, data: Path, tmp_path: Path) -> None:
    """A text file or image that changed makes another run, also if the text has the same length."""
    await run_command(oracle, data, tmp_path / "run")
    path = data / "Text/VQA/test/SARVQA1_test.csv"
    text = path.read_bytes()
    path.write_bytes(text.replace(b",2", b",3"))
    result = await run_command(oracle, data, tmp_path / "run")
    assert "holds a run that differs in texts" in result.output
    path.write_bytes(text)
    (data / "SARimages" / SARDET).write_bytes((data / "SARimages" / SARDET).read_bytes() + b"\0")
    result = await run_command(oracle, data, tmp_path / "run")
    assert "holds a run that differs in images" in result.output


async def test_a_moved_data_set_is_the_same(oracle: FakeOpenAIServer, data: Path, tmp_path: Path) -> None:
    """A run resumes with the same data in another folder, and remembers the new one."""
    await run_command(oracle, data, tmp_path / "run")
    moved = await asyncio.to_thread(data.rename, tmp_path / "moved")
    assert (await run_command(oracle, moved, tmp_path / "run")).exit_code == 0
    assert len(oracle.bodies) == TEST_TEXTS
    assert load_config(tmp_path / "run").data == str(moved)


async def test_another_endpoint_on_resume_is_named(oracle: FakeOpenAIServer, data: Path, tmp_path: Path) -> None:
    """A resumed run whose endpoint differs says from which endpoint its first answers are."""
    first = await run_command(oracle, data, tmp_path / "run")
    assert "The answers so far" not in first.output
    other = ("--base-url", oracle.url.replace("127.0.0.1", "localhost"))
    resumed = " ".join((await run_command(oracle, data, tmp_path / "run", *other)).output.split())
    assert f"The answers so far are from {oracle.url}; the others come from {other[1]}" in resumed
