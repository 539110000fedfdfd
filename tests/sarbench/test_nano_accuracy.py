"""The shipped sarlens-nano, asked as users ask it: GeoTIFFs in S3, through the gateway, answered by real vLLM.

These are 100 of the images and the thresholds, five points lower, of docs/benchmark.md.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sarbench.cli import app
from sarbench.score.board import Board, read_board
from sarlens.prompts.applications import Application
from sarlens.settings import S3Settings, Settings, WorkerSettings
from stack.gateway import gateway
from stack.s3 import S3Server

SEED = 1
IMAGES = 100
OVERALL, EACH, ABOVE = 0.85, 0.75, 0.25
"""Accuracy overall and in each application, and how far below it a baseline has to stay."""


def bench(*arguments: object) -> None:
    """Run sarbench."""
    result = CliRunner().invoke(app, list(map(str, arguments)), env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output


def score(url: str, data: Path, train: Path, out: Path, *more: str) -> Board:
    """Ask all about a data set whose images lie in the bucket `open`, and score it."""
    addresses = ("--image-url-prefix", f"s3://open/{data.name}/SARimages")
    where = ("--base-url", f"{url}/v1", "--model", "sarlens-nano", "--data", data, "--out", out)
    bench("run", *where, *addresses, *more)
    bench("score", out, "--train", train)
    return read_board(out)


@pytest.fixture(scope="module")
async def boards(s3: S3Server, vllm_url: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Board, Board]:
    """What nano scores with and without looking, on layouts it has never seen."""
    folder = tmp_path_factory.mktemp("accuracy")
    train, data = folder / "train", folder / "held-out"
    await asyncio.to_thread(bench, "simulate", "--out", train, "--images", IMAGES, "--test", 0, "--seed", SEED)
    made = ("--images", 0, "--test", IMAGES, "--seed", SEED, "--format", "dn")
    await asyncio.to_thread(bench, "simulate", "--out", data, *made)
    for path in sorted((data / "SARimages").iterdir()):
        s3.client().upload_file(str(path), "open", f"{data.name}/SARimages/{path.name}")
    source = S3Settings(endpoint=s3.endpoint, anonymous=True)
    async with gateway(Settings(worker=WorkerSettings(urls=(vllm_url,)), s3=source)) as url:
        seeing = await asyncio.to_thread(score, url, data, train, folder / "seeing")
        blind = await asyncio.to_thread(score, url, data, train, folder / "blind", "--blackout")
    return seeing, blind


@pytest.mark.slow
async def test_nano_answers_what_it_was_trained_for(boards: tuple[Board, Board]) -> None:
    """Every question gets an answer, and nano is right far more often than without looking."""
    seeing, blind = boards
    right = seeing.strict["overall"].mean
    assert seeing.answered == seeing.total
    assert right >= OVERALL
    assert right - blind.strict["overall"].mean >= ABOVE
    assert right - seeing.baselines.majority["overall"].mean >= ABOVE
    concise = seeing.captions["concise"].cider.mean
    assert concise > seeing.baselines.retrieval["concise"].cider.mean


@pytest.mark.slow
@pytest.mark.parametrize("application", [a for a in Application if a is not Application.IMAGE_DESCRIPTION])
async def test_nano_is_right_in_each_application(boards: tuple[Board, Board], application: Application) -> None:
    """No application is carried by the others."""
    assert boards[0].strict[application].mean >= EACH
