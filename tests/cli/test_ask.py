"""``sarlens ask``."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path

import numpy as np
import pytest

from support.cli_runner import error_line, sarlens
from support.georeferenced_scenes import geotiff
from support.workers.fake_worker import FakeWorker


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """A GeoTIFF of 64 by 64 pixels."""
    path = tmp_path / "scene.tif"
    path.write_bytes(geotiff(np.arange(4096, dtype="u2").reshape(64, 64)))
    return path


async def test_a_local_file_is_sent_and_shown(url: str, worker: FakeWorker, scene: Path) -> None:
    """The gateway renders the file that the command sends, and --show saves what the worker receives."""
    shown = scene.with_name("shown.png")
    ended = await asyncio.to_thread(sarlens, "ask", str(scene), "How many ships?", "--url", url, "--show", str(shown))
    assert (ended.returncode, ended.stdout) == (0, "There are 3 ships.\n"), ended.stderr
    (request,) = worker.requests
    image, text = request["messages"][0]["content"]
    assert text["text"] == "How many ships?"
    assert base64.b64decode(image["image_url"]["url"].partition(",")[2]) == shown.read_bytes()


def test_without_a_gateway_the_error_says_how_to_start_one() -> None:
    """A URL without a gateway is an error that names `make serve` and --url."""
    line = error_line("ask", "s3://scenes/port.tif", "?", "--url", "http://127.0.0.1:9")
    assert (
        line
        == "no gateway answers at http://127.0.0.1:9; `make serve` starts a local stack, --url names another gateway"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--window", "1,2,3"), "--window must be four whole numbers, col,row,width,height"),
        (("--window", "1,2,3,x"), "--window must be four whole numbers, col,row,width,height"),
        (("--bbox", "4.1,52.0"), "--bbox must be four numbers, west,south,east,north"),
        (("--window", "0,0,1,1", "--bbox", "1,2,3,4"), "only one of window, bbox and polygon is allowed"),
    ],
)
def test_a_wrong_option_is_a_usage_error(arguments: tuple[str, ...], message: str) -> None:
    """An invalid render option ends the command with exit code 2 before a request."""
    line = error_line("ask", "s3://scenes/port.tif", "?", *arguments, "--url", "http://127.0.0.1:9", exit_code=2)
    assert message in line


def test_files_are_checked_before_the_question(scene: Path) -> None:
    """A missing image, a directory and a place that can't hold the preview are errors before a request."""
    nowhere = ("--url", "http://127.0.0.1:9")
    assert error_line("ask", "missing.tif", *nowhere).startswith("missing.tif: No such file or directory; an image is")
    assert "has no file manifest.safe" in error_line("ask", str(scene.parent), *nowhere)
    show = scene.parent / "missing" / "x.png"
    assert error_line("ask", str(scene), "?", "--show", str(show), *nowhere) == (
        f"the directory {show.parent} doesn't exist"
    )
    assert error_line("ask", str(scene), "?", "--show", str(scene.parent), *nowhere) == f"{scene.parent} is a directory"


def test_the_address_must_be_a_url() -> None:
    """A host without a scheme is an error that shows the form."""
    assert error_line("ask", "s3://scenes/port.tif", "?", "--url", "localhost:8080") == (
        "'localhost:8080' isn't the base URL of a gateway, such as http://localhost:8080"
    )
