"""``sarbench landcover`` compares answers about real images with land cover rasters."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner, Result

from sarbench.cli import app
from sarbench.errors import DatasetError
from sarbench.landcover.cli import pair_files
from sarbench.landcover.legend import COVERS, LEGENDS
from sarbench.landcover.scores import CoverAnswer, presence_scores
from sarbench.landcover.truth import PRESENCE_QUESTIONS, window_truths
from support.georeferenced_scenes import geotiff
from support.workers.fake_worker import FakeWorker

SIDE = 64


def write_pair(folder: Path, codes: NDArray[np.uint8]) -> tuple[Path, Path]:
    """Write a radar image and its land cover raster, and return their paths."""
    rng = np.random.default_rng(0)
    image, truth = folder / "s1_a.tif", folder / "lulc_a.tif"
    image.write_bytes(geotiff(rng.uniform(-20, 0, codes.shape).astype(np.float32)))
    truth.write_bytes(geotiff(codes))
    return image, truth


def codes() -> NDArray[np.uint8]:
    """Return four windows: water, 60 % crops beside trees, snow with 3 % built, and half of it unknown."""
    raster = np.zeros((2 * SIDE, 2 * SIDE), np.uint8)
    raster[:SIDE, :SIDE] = 1
    raster[:SIDE, SIDE:] = 2
    raster[:SIDE, SIDE : SIDE + 38] = 4
    raster[SIDE:, :SIDE] = 7
    raster[SIDE:, : SIDE // 32] = 5
    raster[SIDE : SIDE + SIDE // 2, SIDE:] = 1
    return raster


def test_windows_have_the_covers_of_the_raster(tmp_path: Path) -> None:
    """Covers below 6 % have no truth, absent ones are No, and a window with unknown pixels is left out."""
    first, second, third = window_truths(*write_pair(tmp_path, codes()), "terramesh", SIDE)
    assert first.window == (0, 0, SIDE, SIDE)
    assert first.presence() == {"water": True, "trees": False, "crops": False, "built": False}
    assert first.dominant() == "water"
    assert second.fractions["crops"] == pytest.approx(38 / 64)
    assert second.presence() == {"water": False, "trees": True, "crops": True, "built": False}
    assert second.dominant() == "crops"
    assert third.presence() == {"water": False, "trees": False, "crops": False}
    assert third.dominant() == "other"


def test_a_smaller_image_is_one_window(tmp_path: Path) -> None:
    """A window is at most as large as the image."""
    (window,) = window_truths(*write_pair(tmp_path, np.ones((20, 30), np.uint8)), "terramesh", SIDE)
    assert window.window == (0, 0, 30, 20)


@pytest.mark.parametrize("legend", LEGENDS)
def test_legends_have_all_covers(legend: Any) -> None:
    """Each legend names every cover, and no data is not one of its codes."""
    assert set(LEGENDS[legend].values()) == set(COVERS)
    assert 0 not in LEGENDS[legend]


def test_rasters_of_another_size_are_refused(tmp_path: Path) -> None:
    """An image and a raster with different pixels are refused with both sizes, and an unreadable file with its name."""
    image, truth = write_pair(tmp_path, codes())
    truth.write_bytes(geotiff(codes()[:100]))
    with pytest.raises(DatasetError, match="128 x 128 and 128 x 100"):
        list(window_truths(image, truth, "terramesh", SIDE))
    truth.write_text("no raster")
    with pytest.raises(DatasetError, match=r"lulc_a\.tif can't be read"):
        list(window_truths(image, truth, "terramesh", SIDE))


def test_each_raster_needs_one_image(tmp_path: Path) -> None:
    """Images and rasters are paired by the end of their names; none or two images are refused."""
    with pytest.raises(DatasetError, match="no land cover raster"):
        pair_files(tmp_path, tmp_path)
    image, truth = write_pair(tmp_path, codes())
    images = tmp_path / "images"
    images.mkdir()
    with pytest.raises(DatasetError, match=r"needs one image a\.tif or \*_a\.tif .* there are 0"):
        pair_files(images, tmp_path)
    image.rename(images / image.name)
    assert pair_files(images, tmp_path) == [(images / image.name, truth)]


def test_scores_are_those_of_the_answers() -> None:
    """Two of three present and one of one absent window right are 75 %, as good as one answer for all."""

    def answer(truth: bool, value: bool | None, confidence: float) -> CoverAnswer:
        return CoverAnswer(f"{truth}{confidence}", (0, 0, 1, 1), "water", truth, "", value, confidence)

    answers = [answer(True, True, 0.9), answer(True, True, 0.8), answer(True, None, 0.6), answer(False, False, 0.7)]
    score = presence_scores(answers)["water"]
    assert (score.found, score.present, score.rejected, score.absent) == (2, 3, 1, 1)
    assert (score.accuracy.mean, score.constant, score.wrong_confidence) == (0.75, 0.75, 0.6)


@pytest.mark.parametrize(
    ("text", "truth", "right"),
    [("Water", "water", True), ("forest.", "trees", True), ("Forest", "water", False), ("Other", "other", False)],
)
def test_the_dominant_cover_has_one_right_answer(text: str, truth: str, right: bool) -> None:
    """The answer is compared without case and final stop. No answer is right for a cover without a name."""
    assert CoverAnswer("a", (0, 0, 1, 1), None, truth, text, None, None).right is right


async def test_the_command_asks_and_scores(url: str, worker: FakeWorker, tmp_path: Path) -> None:
    """A model that says Yes to water and No otherwise is right on one window of water, and on two without trees."""
    worker.says = lambda body: "Yes" if "water" in json.dumps(body) else "No"
    write_pair(tmp_path, codes())
    result = await _landcover(url, tmp_path)
    assert result.exit_code == 0, result.output
    answers = json.loads((tmp_path / "answers.json").read_text())
    about = {cover: [one for one in answers if one["cover"] == cover] for cover in PRESENCE_QUESTIONS}
    assert [(one["truth"], one["value"], one["right"]) for one in about["water"]] == [
        *((True, True, True), (False, True, False), (False, True, False)),
    ]
    assert [one["right"] for one in about["trees"]] == [True, False, True]
    assert all(one["confidence"] == pytest.approx(0.75, abs=0.01) for one in answers)
    assert "3 windows of 1 images" in result.output
    assert "1 of 1" in result.output


async def test_a_gateway_that_refuses_is_one_sentence(tmp_path: Path) -> None:
    """Without a gateway, the command ends with a sentence and code 1."""
    write_pair(tmp_path, codes())
    result = await _landcover("http://127.0.0.1:9", tmp_path)
    assert result.exit_code == 1
    assert "No gateway answers at http://127.0.0.1:9/v1/sar/vqa" in result.output


async def _landcover(url: str, folder: Path) -> Result:
    options = ["--images", str(folder), "--truth", str(folder), "--out", str(folder / "answers.json")]
    command = ["landcover", *options, "--base-url", url, "--side", str(SIDE)]
    return await asyncio.to_thread(CliRunner().invoke, app, command)
