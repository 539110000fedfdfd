"""Accuracy of the bundled sarlens-nano on GeoTIFFs in S3, through the gateway and real vLLM.

The test uses 100 images of docs/explanation/benchmark.md, with thresholds five percentage points lower.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sarbench.cli import app
from sarbench.score.scorecard import Scorecard, load_scorecard
from sarlens.prompts.applications import Application
from sarlens.settings import S3Settings, Settings, WorkerSettings
from support.gateway import gateway
from support.s3 import S3Server

SEED = 1
IMAGES = 100
OVERALL, EACH, ABOVE = 0.85, 0.75, 0.25
"""Minimum accuracy overall and per application, and minimum difference to a baseline."""


def sarbench_command(*arguments: object) -> None:
    """Run sarbench."""
    result = CliRunner().invoke(app, list(map(str, arguments)), env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output


def run_and_score(url: str, data: Path, train: Path, out: Path, *more: str) -> Scorecard:
    """Run and score a data set whose images are in the bucket ``open``."""
    addresses = ("--image-url-prefix", f"s3://open/{data.name}/SARimages")
    endpoint = ("--base-url", f"{url}/v1", "--model", "sarlens-nano", "--data", data, "--out", out)
    sarbench_command("run", *endpoint, *addresses, *more)
    sarbench_command("score", out, "--train", train)
    return load_scorecard(out)


@pytest.fixture(scope="module")
async def scorecards(
    s3: S3Server, vllm_url: str, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Scorecard, Scorecard]:
    """Scorecards of nano on unseen layouts, with images and with black images."""
    folder = tmp_path_factory.mktemp("accuracy")
    train, data = folder / "train", folder / "held-out"
    await asyncio.to_thread(
        sarbench_command, "simulate", "--out", train, "--images", IMAGES, "--test", 0, "--seed", SEED
    )
    made = ("--images", 0, "--test", IMAGES, "--seed", SEED, "--format", "dn")
    await asyncio.to_thread(sarbench_command, "simulate", "--out", data, *made)
    for path in sorted((data / "SARimages").iterdir()):
        s3.client().upload_file(str(path), "open", f"{data.name}/SARimages/{path.name}")
    source = S3Settings(endpoint=s3.endpoint, anonymous=True)
    async with gateway(Settings(worker=WorkerSettings(urls=(vllm_url,)), s3=source)) as url:
        seeing = await asyncio.to_thread(run_and_score, url, data, train, folder / "seeing")
        blind = await asyncio.to_thread(run_and_score, url, data, train, folder / "blind", "--blackout")
    return seeing, blind


@pytest.mark.slow
async def test_overall_accuracy_is_above_the_baselines(scorecards: tuple[Scorecard, Scorecard]) -> None:
    """Every question has an answer, and accuracy exceeds that of all baselines."""
    seeing, blind = scorecards
    right = seeing.strict["overall"].mean
    assert seeing.all_texts.answered == seeing.all_texts.texts
    assert right >= OVERALL
    assert right - blind.strict["overall"].mean >= ABOVE
    assert right - seeing.baselines.majority["overall"].mean >= ABOVE
    concise = seeing.captions["concise"].cider.mean
    assert concise > seeing.baselines.retrieval["concise"].cider.mean


@pytest.mark.slow
@pytest.mark.parametrize("application", [a for a in Application if a is not Application.IMAGE_DESCRIPTION])
async def test_accuracy_in_each_application(scorecards: tuple[Scorecard, Scorecard], application: Application) -> None:
    """Accuracy in each application is at least 75 %."""
    assert scorecards[0].strict[application].mean >= EACH
