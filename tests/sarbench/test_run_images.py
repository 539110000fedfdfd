"""Images in the requests of a run."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from run_command import read_errors, run_command

from sarbench.run.answers import read_answers
from support.sarlang_fixture import DARWIN, NICE, SARDET, write_questions, write_released
from support.workers.fake_openai_server import FakeOpenAIServer, picture, picture_url


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the pauses between retries."""
    monkeypatch.setattr("sarbench.run.endpoint.INITIAL_BACKOFF_S", 0.001)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A small data set in the layout of the release."""
    return write_released(tmp_path / "data")


async def test_images_can_be_sent_as_urls(oracle: FakeOpenAIServer, data: Path, tmp_path: Path) -> None:
    """With a prefix, requests contain image URLs and the render parameters; a box asks for its conversion."""
    sar = {"filter": "lee", "size": 224}
    more = ("--image-url-prefix", "s3://scenes/SARimages/", "--sar", json.dumps(sar))
    await run_command(oracle, data, tmp_path / "run", *more)
    contents = [body["messages"][0]["content"] for body in oracle.bodies]
    images = [image["image_url"] for image, _ in contents]
    assert {image["url"] for image in images} == {f"s3://scenes/SARimages/{name}" for name in (DARWIN, NICE, SARDET)}
    boxed = [text["text"].count("[56.0, 191.0, 112.0, 122.0]") for _, text in contents]
    assert sum(boxed) == 1
    assert [image["sar"] for image in images] == [sar | ({"boxes": "image"} if box else {}) for box in boxed]


async def test_boxes_stay_as_they_are_for_other_endpoints(oracle: FakeOpenAIServer, data: Path, tmp_path: Path) -> None:
    """With --boxes picture, no request has a sar object, which only Sarlens knows."""
    await run_command(oracle, data, tmp_path / "run", "--boxes", "picture")
    assert all("sar" not in body["messages"][0]["content"][0]["image_url"] for body in oracle.bodies)


async def test_urls_name_the_existing_file(oracle: FakeOpenAIServer, data: Path, tmp_path: Path) -> None:
    """The URL names the .tif that exists, even if the row says .png."""
    (data / "SARimages" / NICE).rename(data / "SARimages" / NICE.replace(".png", ".tif"))
    await run_command(oracle, data, tmp_path / "run", "--image-url-prefix", "s3://scenes")
    assert f"s3://scenes/{NICE.replace('.png', '.tif')}" in {picture_url(body) for body in oracle.bodies}


async def test_http_urls_are_escaped_and_have_their_folder(
    oracle: FakeOpenAIServer, data: Path, tmp_path: Path
) -> None:
    """A name with a space, # and % below a folder is one path of an HTTP URL; a key of S3 stands as it is."""
    name = "part/scene #1 50%.png"
    (data / "SARimages/part").mkdir()
    (data / "SARimages" / NICE).rename(data / "SARimages" / name)
    write_questions(data / "Text/VQA/test/SARVQA1_test.csv", [(name, "How many ships?", "1")])
    more = ("--skip-bad-rows", "--application", "instance_counting", "--image-url-prefix")
    await run_command(oracle, data, tmp_path / "http", *more, "https://host/SARimages")
    await run_command(oracle, data, tmp_path / "s3", *more, "s3://scenes/SARimages/")
    urls = {picture_url(body) for body in oracle.bodies}
    assert urls == {"https://host/SARimages/part/scene%20%231%2050%25.png", f"s3://scenes/SARimages/{name}"}


async def test_blackout_images_are_black_and_keep_their_size(
    oracle: FakeOpenAIServer, data: Path, tmp_path: Path
) -> None:
    """With --blackout, requests contain black images of the original size."""
    await run_command(oracle, data, tmp_path / "run", "--blackout")
    for body in oracle.bodies:
        with Image.open(BytesIO(picture(body))) as image:
            assert image.size == (64, 48)
            assert image.convert("L").getextrema() == (0, 0)


async def test_a_corrupt_image_fails_only_its_own_texts(oracle: FakeOpenAIServer, data: Path, tmp_path: Path) -> None:
    """A corrupt image is a logged failure of its own texts, and the others are answered."""
    (data / "SARimages" / NICE).write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    result = await run_command(oracle, data, tmp_path / "run", "--blackout")
    assert result.exit_code == 1
    assert {line["error"] for line in read_errors(tmp_path / "run")} == {f"{NICE} cannot be decoded as an image"}
    assert {answer.image for answer in read_answers(tmp_path / "run")} == {DARWIN, SARDET}
