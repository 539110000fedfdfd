"""The console before a real model, from the first screen to a survey.

With ``SCREENSHOTS=FOLDER``, as `make screenshots` sets it, the test takes the pictures of the documentation.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.async_api import BrowserContext, Page

from console.conftest import Console
from sarbench.simulate.sample_scenes import write_sample_scenes
from sarlens.devstack.samples import sample_questions
from sarlens.settings import ConsoleSettings, S3Settings, Settings, SurveySettings, WorkerSettings
from support.gateway import gateway
from support.s3 import S3Server

PORT = "s3://scenes/port.tif"


async def take(page: Page, name: str, *, moves: bool = True) -> None:
    """Write a screenshot as WebP, if the environment names a folder; ``moves`` moves the pointer out of the way."""
    if folder := os.environ.get("SCREENSHOTS"):
        if moves:
            await page.mouse.move(1270, 20)
        await page.wait_for_load_state("networkidle")
        image = Image.open(io.BytesIO(await page.screenshot(animations="disabled")))
        image.convert("RGB").save(Path(folder) / f"console-{name}.webp", quality=72, method=6)


async def draw_box(page: Page) -> None:
    """Draw a box around ships, take a screenshot while the button is down, and select the pixels that fit."""
    box = await page.locator("#map").bounding_box()
    assert box
    points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in ((0.45, 0.33), (0.68, 0.61))]
    await page.press("#map", "b")
    await page.mouse.move(*points[0])
    await page.mouse.down()
    await page.mouse.move(*points[1], steps=4)
    await take(page, "draw", moves=False)
    await page.mouse.up()
    await page.wait_for_url(lambda url: "window=" in url)
    await page.click("#reduction button")
    await page.wait_for_url(lambda url: ",256,256" in url)


@pytest.fixture
async def real(
    vllm_url: str, s3: S3Server, context: BrowserContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Console]:
    """The console of a gateway with the sample scenes and sarlens-nano on vLLM."""
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    samples = tmp_path / "samples"
    write_sample_scenes(samples)
    for file in samples.iterdir():
        s3.client().upload_file(str(file), "scenes", file.name)
    settings = Settings(
        worker=WorkerSettings(urls=(vllm_url,)),
        s3=S3Settings(endpoint=s3.endpoint),
        survey=SurveySettings(database=Settings().survey.database),
        console=ConsoleSettings(scenes=sample_questions(samples)),
    )
    async with gateway(settings) as base:
        console = Console(await context.new_page(), base)
        console.watch()
        yield console
    assert console.foreign + console.problems == []


async def test_from_the_first_screen_to_a_survey(real: Console) -> None:
    """sarlens-nano finds two harbors, a ship in a box, ships in the tiles of the port, and one object for each ship."""
    page = real.page
    await page.emulate_media(reduced_motion="reduce")
    await page.goto(real.base)
    images = page.locator("#samples img[src^=blob]")
    await images.nth(5).wait_for()
    await take(page, "open")
    await page.locator("#samples button").first.click()
    await page.wait_for_selector("#picture:not(.stale) img:not([hidden])")
    assert await real.text("#facts-title") == "port.tif"
    await page.wait_for_selector("#answers .result")
    assert await page.inner_text("#answers strong") == "2"
    confidence = await page.eval_on_selector("#answers meter", "bar => bar.value")
    assert 0.5 < confidence <= 1
    await take(page, "look")
    await draw_box(page)

    await real.open(PORT, window="540,250,256,256", q="Are there any ships in the image?")
    await page.press("#question", "Enter")
    await page.wait_for_selector("#answers .result")
    assert await page.inner_text("#answers strong") == "Yes"
    for question in ("What type of object is present in the image?", "How many ships are in the image?"):
        await page.fill("#question", question)
        before = await page.locator("#answers .result").count()
        await page.press("#question", "Enter")
        await page.locator("#answers .result").nth(before).wait_for()
    await page.evaluate("document.activeElement.blur()")
    await take(page, "ask")

    await real.open(PORT, q="How many ships are in the image?")
    await page.click("#plan-start")
    await real.wait_for_text("#survey-text", "16 / 16 tiles")
    await page.wait_for_selector("#survey-cancel", state="hidden")
    text = await real.text("#survey-text")
    assert text.endswith("tiles")
    assert "in 7 tiles" in text
    await page.fill("#filter-value", "1")
    for _ in range(2):
        await page.press("#map", "]")
    await real.wait_for_text("#tile-title", "Tile 6")
    await page.wait_for_selector("#tile-image[src^=blob]")
    await take(page, "survey")

    await page.fill("#filter-value", "")
    await page.check("#plan-objects")
    await page.click("#plan-start")
    await real.wait_for_text("#survey-text", "objects (")
    assert re.match(r"16 / 16 tiles · [78] objects \(\d to \d+\)", await real.text("#survey-text"))
    await page.emulate_media(color_scheme="light")
    await page.wait_for_selector("html[data-theme=light]")
    await take(page, "objects")
