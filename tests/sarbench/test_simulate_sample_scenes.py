"""Sample scenes of a new installation."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from PIL import Image

from sarbench.simulate.sample_scenes import SAMPLE_SCENES, write_sample_scenes


def digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 digest of every file."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_sample_scenes_are_reproducible(tmp_path: Path) -> None:
    """The sample scenes have the documented names and answers and are identical each time."""
    write_sample_scenes(tmp_path / "one")
    write_sample_scenes(tmp_path / "two")
    assert digests(tmp_path / "one") == digests(tmp_path / "two")
    truth = json.loads((tmp_path / "one" / "scenes.json").read_text())
    assert list(truth) == [sample.file for sample in SAMPLE_SCENES]
    assert all(int(answers["How many ships are in the image?"]) >= 0 for answers in truth.values())
    assert Image.open(tmp_path / "one" / "coast.png").size == (512, 512)


def test_sample_margins_hide_no_object() -> None:
    """No box of a sample scene reaches into its nodata margin."""
    for sample in SAMPLE_SCENES:
        for labeled in sample.simulate().truth.objects:
            x, y, width, height = labeled.box
            assert min(x, y) >= sample.margin
            assert max(x + width, y + height) <= sample.size - sample.margin
