"""File names of the SARLANG-1M release."""

from __future__ import annotations

import pytest

from sarbench.dataset.release_files import Subset, find_text_files, parse_file_name
from sarbench.errors import DatasetError


@pytest.mark.parametrize(
    ("path", "split", "subset"),
    [
        ("Text/caption/Caption-training.csv", "train", Subset.MIXED),
        ("Text/caption/Caption_test.csv", "test", Subset.COMPLEX),
        ("Text/caption/Caption_test1.csv", "test", Subset.CONCISE),
        ("Text/Caption/train/Caption_train_SARLANG-1M.json", "train", Subset.MIXED),
        ("Text/Caption/test/Caption_test_SARLANG-1M.json", "test", Subset.COMPLEX),
        ("text/vqa/test/sarvqa1_TEST.JSON", "test", Subset.SARVQA1),
        ("SARVQA2_train.csv", "train", Subset.SARVQA2),
    ],
)
def test_released_names_are_recognized_in_any_case_and_folder(path: str, split: str, subset: Subset) -> None:
    """The file name determines split and subset, regardless of case and folder."""
    file = parse_file_name(path)
    assert file is not None
    assert (file.split, file.subset) == (split, subset)


@pytest.mark.parametrize("name", ["Caption_train1.csv", "Caption_test_pt.json", "SARVQA3_test.csv", "notes.csv"])
def test_other_names_are_ignored(name: str) -> None:
    """Derivatives of released files are not text files of the release."""
    assert parse_file_name(name) is None


def test_csv_is_preferred_over_json() -> None:
    """A text file that exists as CSV and as JSON is read once, as CSV."""
    files = find_text_files(["Text/VQA/SARVQA1_test.json", "Text/VQA/SARVQA1_test.csv"])
    assert [part.path for part in files] == ["Text/VQA/SARVQA1_test.csv"]


def test_two_files_with_the_same_subset_and_split_are_an_error() -> None:
    """Two CSV files with the same subset and split raise an error that names both."""
    with pytest.raises(DatasetError, match=r"a/SARVQA1_test\.csv and b/sarvqa1_test\.csv both hold SARVQA1 test"):
        find_text_files(["a/SARVQA1_test.csv", "b/sarvqa1_test.csv"])
