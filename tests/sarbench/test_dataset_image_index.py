"""Images of a data set, found by the paths that rows name."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from sarbench.dataset.image_index import ImageIndex
from sarbench.dataset.rows import InvalidRow, Sample
from sarbench.dataset.sarlang import open_dataset
from sarbench.errors import DatasetError
from support.sarlang_fixture import write_questions

INDEX = ImageIndex(
    [
        "SARimages/A.TIF",
        "RGBimages/A.png",
        "SARimages/b.png",
        "SARimages_preprocessed/SARimages/b.png",
        "SARimages_original/b.tif",
        "SARimages_original/c_-12.4278_130.8688.tif",
        "SARimages/SARDet/0001.png",
        "SARimages/xView/0001.png",
        "SARimages/xView/part/0002.png",
        "SARimages/0003.png",
        "SARimages/0003.jpg",
    ]
)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("a.png", "SARimages/A.TIF"),
        ("A", "SARimages/A.TIF"),
        ("b.png", "SARimages_preprocessed/SARimages/b.png"),
        ("SARimages_original/b.tif", "SARimages_original/b.tif"),
        ("c_-12.4278_130.8688.png", "SARimages_original/c_-12.4278_130.8688.tif"),
        ("c_-12.4278_130.8688", "SARimages_original/c_-12.4278_130.8688.tif"),
        ("SARDet/0001.png", "SARimages/SARDet/0001.png"),
        ("xview\\0001.PNG", "SARimages/xView/0001.png"),
        ("/data/SARimages/xView/0001.png", "SARimages/xView/0001.png"),
        ("0002.png", "SARimages/xView/part/0002.png"),
        ("/home/me/part/0002.png", None),
        ("other/0001.png", None),
        ("/data/set/0003.png", "SARimages/0003.png"),
        ("0003.jpg", "SARimages/0003.jpg"),
        ("d.png", None),
        ("", None),
    ],
)
def test_an_image_is_found_by_its_path(name: str, path: str | None) -> None:
    """The folders of a row are those of its image; case, suffix, and the folder of the release don't count."""
    image = INDEX.find(name)
    assert (image.path if image else None) == path


def test_a_name_of_several_images_is_an_error() -> None:
    """A name without folders that two images have is rejected with both paths."""
    with pytest.raises(DatasetError, match=r"ambiguous: SARimages/SARDet/0001\.png and SARimages/xView/0001\.png"):
        INDEX.find("0001.png")


def test_rows_get_the_image_of_their_folder(tmp_path: Path) -> None:
    """Of two images with one file name, each row reads that of its folder; a row without a folder is invalid."""
    for folder, level in (("SARDet", 10), ("xView", 200)):
        (tmp_path / "SARimages" / folder).mkdir(parents=True)
        Image.new("L", (8, 8), level).save(tmp_path / "SARimages" / folder / "0001.png")
    rows = [(f"{folder}0001.png", "How many ships?", "1") for folder in ("SARDet/", "xView/", "")]
    write_questions(tmp_path / "Text/SARVQA1_test.csv", rows)
    dataset = open_dataset(str(tmp_path))
    dark, bright, ambiguous = dataset.rows(dataset.files[0])
    assert isinstance(dark, Sample)
    assert isinstance(bright, Sample)
    assert (dark.image, bright.image) == ("SARDet/0001.png", "xView/0001.png")
    assert dataset.read_image(dark.image) == (tmp_path / "SARimages/SARDet/0001.png").read_bytes()
    assert dataset.read_image(bright.image) == (tmp_path / "SARimages/xView/0001.png").read_bytes()
    assert isinstance(ambiguous, InvalidRow)
    assert "name its folder" in ambiguous.reason
