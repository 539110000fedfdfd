"""The scenes of a local stack on the first screen of the console."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sarbench.simulate.sample_scenes import SAMPLE_SCENES, write_sample_scenes
from sarlens.devstack.samples import sample_questions


def test_sample_scenes_come_with_their_first_question(tmp_path: Path) -> None:
    """Each sample scene has the question that stands first in scenes.json, in the order of that file."""
    write_sample_scenes(tmp_path)
    expected = {f"s3://scenes/{sample.file}": sample.question for sample in SAMPLE_SCENES}
    assert sample_questions(tmp_path) == expected
    assert list(sample_questions(tmp_path)) == list(expected)
    truth = json.loads((tmp_path / "scenes.json").read_text())
    assert [next(iter(answers)) for answers in truth.values()] == list(expected.values())


@pytest.mark.parametrize("content", [None, "not JSON", "[1]", '{"a.tif": 3}', '{"a.tif": {}}'])
def test_a_folder_of_your_own_has_scenes_without_questions(tmp_path: Path, content: str | None) -> None:
    """Images of any folder are listed by name, at most 12, with escaped URLs; other files and a broken list aren't."""
    for name in ("b c.tiff", "a.tif", "notes.md", *(f"z{i:02}.png" for i in range(20))):
        (tmp_path / name).touch()
    if content is not None:
        (tmp_path / "scenes.json").write_text(content)
    found = sample_questions(tmp_path)
    assert list(found)[:3] == ["s3://scenes/a.tif", "s3://scenes/b%20c.tiff", "s3://scenes/z00.png"]
    assert (len(found), set(found.values())) == (12, {""})


def test_without_a_folder_there_are_no_samples() -> None:
    """A stack without --scenes has an empty first screen."""
    assert sample_questions(None) == {}
