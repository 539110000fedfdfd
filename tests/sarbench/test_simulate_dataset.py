"""Simulated data sets."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from sarbench.dataset.counts import count_dataset
from sarbench.dataset.sarlang import open_dataset
from sarbench.errors import DatasetError
from sarbench.simulate.coco import read_coco
from sarbench.simulate.dataset import ImageFormat, SimulationConfig, simulate_dataset


def digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 digest of every file."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.slow
def test_files_do_not_depend_on_the_number_of_processes(tmp_path: Path) -> None:
    """One process, three processes, and a resumed simulation write identical files."""
    config = SimulationConfig(images=20, test=4, seed=5, size=128)
    simulate_dataset(tmp_path / "one", config, 1)
    simulate_dataset(tmp_path / "three", config, 3)
    whole = digests(tmp_path / "one")
    assert digests(tmp_path / "three") == whole
    for path in sorted((tmp_path / "one" / "SARimages").iterdir())[::2]:
        path.unlink()
    simulate_dataset(tmp_path / "one", config, 2)
    assert digests(tmp_path / "one") == whole
    with pytest.raises(DatasetError, match="different settings"):
        simulate_dataset(tmp_path / "one", SimulationConfig(images=20, test=4, seed=6, size=128), 1)


@pytest.mark.parametrize("file_format", list(ImageFormat))
def test_a_simulated_data_set_is_valid(tmp_path: Path, file_format: ImageFormat) -> None:
    """All rows of a simulated data set are valid, and the counts of images match."""
    done: list[int] = []
    simulate_dataset(tmp_path, SimulationConfig(images=8, test=3, size=128, format=file_format), 2, done.append)
    assert sum(done) == 11
    counts = count_dataset(open_dataset(str(tmp_path)))
    assert not counts.errors
    suffix = ".png" if file_format is ImageFormat.PNG else ".tif"
    assert len(list((tmp_path / "SARimages").glob(f"*{suffix}"))) == 11
    for split, number in (("train", 8), ("test", 3)):
        assert len(read_coco(tmp_path / "annotations" / f"{split}.json")) == number
        for text in (tmp_path / "Text").rglob(f"*{split}*.json"):
            assert all(len(row["messages"]) == 2 for row in json.loads(text.read_text()))
