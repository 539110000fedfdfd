"""A whole data set, on disk and in S3, and what the command line says of it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sarbench.cli import app
from sarbench.dataset.census import PUBLISHED, PUBLISHED_OTHERS, PUBLISHED_SPLITS, take_census
from sarbench.dataset.layout import Variety, images_of, part_of, parts_of
from sarbench.dataset.library import open_library
from sarbench.dataset.rows import Item
from sarbench.errors import DatasetError
from sarlens.prompts.applications import Application
from stack.released import (
    BOXED,
    DARWIN,
    GENERAL,
    NICE,
    SARDET,
    write_conversations,
    write_csv,
    write_questions,
    write_released,
)
from stack.s3 import S3Server, s3_server


@pytest.fixture
def released(tmp_path: Path) -> Path:
    """A small data set in the released layout."""
    return write_released(tmp_path / "data", train=True)


@pytest.mark.parametrize(
    ("path", "split", "variety"),
    [
        ("Text/caption/Caption-training.csv", "train", Variety.MIXED),
        ("Text/caption/Caption_test.csv", "test", Variety.COMPLEX),
        ("Text/caption/Caption_test1.csv", "test", Variety.CONCISE),
        ("Text/Caption/train/Caption_train_SARLANG-1M.json", "train", Variety.MIXED),
        ("Text/Caption/test/Caption_test_SARLANG-1M.json", "test", Variety.COMPLEX),
        ("text/vqa/test/sarvqa1_TEST.JSON", "test", Variety.SARVQA1),
        ("SARVQA2_train.csv", "train", Variety.SARVQA2),
    ],
)
def test_released_names_are_known_in_any_case_and_folder(path: str, split: str, variety: Variety) -> None:
    """A file's name says its split and kind; its folder says nothing."""
    part = part_of(path)
    assert part is not None
    assert (part.split, part.variety) == (split, variety)


@pytest.mark.parametrize("name", ["Caption_train1.csv", "Caption_test_pt.json", "SARVQA3_test.csv", "notes.csv"])
def test_other_names_are_no_part(name: str) -> None:
    """A derivative of a released file is not taken for it."""
    assert part_of(name) is None


def test_of_csv_and_json_the_csv_is_read() -> None:
    """The release holds each text in both formats; none is counted twice."""
    parts = parts_of(["Text/VQA/SARVQA1_test.json", "Text/VQA/SARVQA1_test.csv"])
    assert [part.path for part in parts] == ["Text/VQA/SARVQA1_test.csv"]


def test_two_files_that_hold_the_same_part_are_refused() -> None:
    """A text that lies twice is an error, not a silent choice."""
    with pytest.raises(DatasetError, match=r"a/SARVQA1_test\.csv and b/sarvqa1_test\.csv both hold SARVQA1 test"):
        parts_of(["a/SARVQA1_test.csv", "b/sarvqa1_test.csv"])


def test_an_image_is_found_in_any_case_and_with_another_suffix() -> None:
    """Rows may name the preprocessed picture while only the raw measurement is there, in any case."""
    images = images_of(
        ["SARimages/A.TIF", "RGBimages/A.png", "SARimages/b.png", "SARimages_preprocessed/SARimages/b.png"]
    )
    assert images == {
        "a.tif": "SARimages/A.TIF",
        "a": "SARimages/A.TIF",
        "b.png": "SARimages_preprocessed/SARimages/b.png",
        "b": "SARimages_preprocessed/SARimages/b.png",
    }


def test_a_data_set_on_disk_is_read_whole(released: Path) -> None:
    """Every row of every part comes out, each with its application."""
    library = open_library(str(released))
    rows = [row for part in library.of_split("test") for row in library.rows(part)]
    assert all(isinstance(row, Item) for row in rows)
    told = [
        (row.image, row.question, row.answer, row.application) for row in rows if isinstance(row, Item) and row.question
    ]
    assert told == [*BOXED, *GENERAL]
    assert {row.application for row in rows if isinstance(row, Item)} == set(Application)
    assert library.image(SARDET.upper()).startswith(b"\xff\xd8")


def test_json_and_csv_tell_the_same(released: Path, tmp_path: Path) -> None:
    """The same questions as conversations give the same items."""
    other = tmp_path / "json"
    shutil.copytree(released / "SARimages", other / "SARimages")
    write_conversations(other / "Text/VQA/test/SARVQA1_test.json", BOXED)
    library = open_library(str(other))
    rows = [row for part in library.parts for row in library.rows(part)]
    assert [(row.image, row.question, row.answer) for row in rows if isinstance(row, Item)] == [
        row[:3] for row in BOXED
    ]


def test_a_missing_image_is_a_fault_of_its_row(released: Path) -> None:
    """A row whose image is not there is named; the images of SARDet have to be fetched separately."""
    (released / "SARimages" / SARDET).unlink()
    library = open_library(str(released))
    part = next(part for part in library.parts if part.path.endswith("SARVQA1_test.csv"))
    assert [str(row) for row in library.rows(part)] == [
        f"Text/VQA/test/SARVQA1_test.csv:{line}: no image {SARDET} under SARimages" for line in range(2, 2 + len(BOXED))
    ]


def test_the_census_counts_per_application_and_split(released: Path) -> None:
    """Texts are counted once per split, images once per kind of text."""
    census = take_census(open_library(str(released)))
    assert not census.faults
    assert census.texts[Application.INSTANCE_COUNTING, "train"] == 2
    assert census.texts[Application.IMAGE_DESCRIPTION, "test"] == 4
    assert census.others["Shape", "test"] == 1
    assert census.splits() == {"Captions": (2, 2, 4, 4), "Questions": (3, 3, 16, 16)}


def test_the_published_counts_agree_with_each_other() -> None:
    """The tables that counts are printed beside close arithmetically."""
    assert sum(PUBLISHED.values()) == 1_126_277
    assert sum(PUBLISHED_OTHERS.values()) == PUBLISHED[Application.OTHERS]
    captions, questions = (PUBLISHED_SPLITS[kind] for kind in ("Captions", "Questions"))
    assert sum(captions[2:]) == PUBLISHED[Application.IMAGE_DESCRIPTION]
    assert sum(captions[2:]) + sum(questions[2:]) == 1_126_277
    assert sum(questions[:2]) == 118_331


def test_info_prints_the_tables(released: Path) -> None:
    """``sarbench info`` counts the data set beside the published figures."""
    result = CliRunner().invoke(app, ["info", str(released)], env={"COLUMNS": "120"})
    assert result.exit_code == 0
    assert "Instance Counting" in result.output
    assert "117,382" in result.output


def test_validate_is_silent_on_good_data(released: Path) -> None:
    """Good data passes with status 0."""
    result = CliRunner().invoke(app, ["validate", str(released)])
    assert (result.exit_code, result.output.strip()) == (0, "40 good rows, 0 bad")


def test_validate_names_what_is_bad(released: Path) -> None:
    """Bad rows, files with the wrong columns and files of unknown name are all told, with status 1."""
    write_questions(released / "Text/VQA/test/SARVQA1_test.csv", [(SARDET, "", "2"), ("gone.jpg", "Q?", "A")])
    write_csv(released / "Text/caption/Caption_test.csv", ("Image", "Caption"), [(NICE, "A park.")])
    write_csv(released / "Text/VQA/SARVQA9_test.csv", ("Image",), [])
    result = CliRunner().invoke(app, ["validate", str(released)])
    assert result.exit_code == 1
    assert "SARVQA1_test.csv:2: Question is empty" in result.output
    assert "SARVQA1_test.csv:3: no image gone.jpg under SARimages" in result.output
    assert "Caption_test.csv:1: no column Image Name; its columns are: Image, Caption" in result.output
    assert "not read, no released name: Text/VQA/SARVQA9_test.csv" in result.output
    assert "32 good rows, 3 bad" in result.output


@pytest.mark.parametrize(
    ("where", "complaint"),
    [
        ("{tmp}/nowhere", "is not a directory"),
        ("ftp://host/data", "neither a directory nor s3://bucket/prefix"),
        ("s3://", "neither a directory nor s3://bucket/prefix"),
        ("{tmp}", "no text file of SARLANG-1M is here"),
    ],
)
def test_where_no_data_is_one_sentence_says_so(where: str, complaint: str, tmp_path: Path) -> None:
    """A wrong path ends with status 2 and a sentence, no traceback."""
    result = CliRunner().invoke(app, ["info", where.format(tmp=tmp_path)])
    assert result.exit_code == 2
    assert complaint in result.output
    assert "Traceback" not in result.output


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    """A real S3 server."""
    with s3_server() as server:
        yield server


def _upload(server: S3Server, root: Path, bucket: str) -> None:
    for path in root.rglob("*"):
        if path.is_file():
            server.client().upload_file(str(path), bucket, f"sets/one/{path.relative_to(root)}")


def test_a_data_set_in_s3_reads_like_one_on_disk(s3: S3Server, released: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts stream and images come from a bucket with the credentials of boto3's chain."""
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    _upload(s3, released, "scenes")
    remote, local = open_library("s3://scenes/sets/one/"), open_library(str(released))
    for there, here in zip(remote.parts, local.parts, strict=True):
        assert list(remote.rows(there)) == list(local.rows(here))
    assert remote.image(DARWIN) == local.image(DARWIN)


def test_a_bucket_that_refuses_is_told_without_credentials(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refusal is one sentence that holds no secret."""
    for name, value in {**s3.environment, "AWS_SECRET_ACCESS_KEY": "wrong-secret"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(DatasetError, match="the data set cannot be listed") as caught:
        open_library("s3://closed/sets")
    assert "wrong-secret" not in str(caught.value)
