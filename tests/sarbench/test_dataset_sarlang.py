"""Complete data sets, on disk and in S3."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from sarbench.dataset.rows import Sample
from sarbench.dataset.sarlang import open_dataset
from sarbench.errors import DatasetError
from sarlens.prompts.applications import Application
from support.s3 import S3Server, s3_server
from support.sarlang_fixture import (
    BOXED,
    DARWIN,
    GENERAL,
    SARDET,
    write_conversations,
    write_released,
)


@pytest.fixture
def released(tmp_path: Path) -> Path:
    """A small data set in the layout of the release."""
    return write_released(tmp_path / "data", train=True)


def test_a_local_data_set_is_read_completely(released: Path) -> None:
    """All rows of all files are valid, and each has its application."""
    dataset = open_dataset(str(released))
    rows = [row for file in dataset.files_of_split("test") for row in dataset.rows(file)]
    assert all(isinstance(row, Sample) for row in rows)
    fields = [
        (row.image, row.question, row.answer, row.application)
        for row in rows
        if isinstance(row, Sample) and row.question
    ]
    assert fields == [*BOXED, *GENERAL]
    assert {row.application for row in rows if isinstance(row, Sample)} == set(Application)
    assert dataset.read_image(SARDET.upper()).startswith(b"\xff\xd8")


def test_json_and_csv_give_the_same_samples(released: Path, tmp_path: Path) -> None:
    """Conversations in JSON give the same samples as CSV."""
    json_root = tmp_path / "json"
    shutil.copytree(released / "SARimages", json_root / "SARimages")
    write_conversations(json_root / "Text/VQA/test/SARVQA1_test.json", BOXED)
    dataset = open_dataset(str(json_root))
    rows = [row for file in dataset.files for row in dataset.rows(file)]
    assert [(row.image, row.question, row.answer) for row in rows if isinstance(row, Sample)] == [
        row[:3] for row in BOXED
    ]


def test_a_missing_image_makes_its_row_invalid(released: Path) -> None:
    """Rows without their image are reported, because SARDet images are downloaded separately."""
    (released / "SARimages" / SARDET).unlink()
    dataset = open_dataset(str(released))
    file = next(part for part in dataset.files if part.path.endswith("SARVQA1_test.csv"))
    assert [str(row) for row in dataset.rows(file)] == [
        f"Text/VQA/test/SARVQA1_test.csv:{line}: no image {SARDET} under SARimages" for line in range(2, 2 + len(BOXED))
    ]


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    """A real S3 server."""
    with s3_server() as server:
        yield server


def _upload(server: S3Server, root: Path, bucket: str) -> None:
    for path in root.rglob("*"):
        if path.is_file():
            server.client().upload_file(str(path), bucket, f"sets/one/{path.relative_to(root)}")


def test_a_data_set_in_s3_equals_a_local_one(s3: S3Server, released: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts and images from a bucket, with boto3 credentials, equal the local ones."""
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    _upload(s3, released, "scenes")
    remote, local = open_dataset("s3://scenes/sets/one/"), open_dataset(str(released))
    for remote_file, local_file in zip(remote.files, local.files, strict=True):
        assert list(remote.rows(remote_file)) == list(local.rows(local_file))
    assert remote.read_image(DARWIN) == local.read_image(DARWIN)


def test_an_access_error_shows_no_credentials(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """An access error is one sentence without the secret."""
    for name, value in {**s3.environment, "AWS_SECRET_ACCESS_KEY": "wrong-secret"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(DatasetError, match="the data set cannot be listed") as caught:
        open_dataset("s3://closed/sets")
    assert "wrong-secret" not in str(caught.value)
