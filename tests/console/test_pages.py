"""Everything around the scene: API keys, documentation pages, theme, keyboard, hostile texts, other projections."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.async_api import BrowserContext, Page
from rasterio.crs import CRS
from rasterio.transform import Affine

from console.conftest import HARBOR, QUESTION, Console, settings_for
from sarlens.admission.api_keys import generate_api_key
from sarlens.settings import KeysSettings
from support.gateway import gateway
from support.georeferenced_scenes import geotiff, sea
from support.s3 import S3Server
from support.workers.fake_worker import FakeWorker

GROUND = (13, 16, 19)
"""Color of the map without land, in the dark theme."""
NOWHERE = np.zeros((0, 2), dtype=int)


async def pixels_of(page: Page, x: float, y: float, height: int = 1) -> set[tuple[int, ...]]:
    """Return the colors of a column of pixels of a page."""
    picture = await page.screenshot(clip={"x": round(x), "y": round(y), "width": 1, "height": height})
    colors = np.asarray(Image.open(io.BytesIO(picture)).convert("RGB")).reshape(-1, 3)
    return {tuple(map(int, color)) for color in colors}


@pytest.mark.parametrize(("path", "selector"), [("docs", ".opblock-summary-path"), ("redoc", "h1, h2")])
async def test_documentation_needs_no_other_host(console: Console, path: str, selector: str) -> None:
    """The pages of the API show its routes with files of the gateway alone."""
    await console.page.goto(f"{console.base}/{path}")
    await console.page.locator(selector).first.wait_for()
    text = await console.page.inner_text("#document")
    assert "Sarlens" in text
    assert "v1/sar/vqa" in text if path == "docs" else "Answer questions about one image" in text


async def test_a_key_is_requested_and_stays_in_the_tab(
    scenes: S3Server,
    worker: FakeWorker,
    tmp_path: Path,
    make_console: Callable[[str], Awaitable[Console]],
    context: BrowserContext,
) -> None:
    """Without a key, or with a wrong one, the page asks for one and says why.

    The key is in no link and no other tab, and the API document uses it too.
    """
    key, digest = generate_api_key()
    file = tmp_path / "keys.json"
    file.write_text(json.dumps([{"name": "gis", "sha256": digest, "requests_per_minute": 600}]))
    async with gateway(settings_for(scenes, worker, keys=KeysSettings(file=file))) as base:
        console = await make_console(base)
        page = console.page
        await page.goto(console.link(scene=HARBOR, q=QUESTION))
        await page.wait_for_selector("#key-dialog[open]")
        assert await console.text("#key-reason") == "This gateway requires an API key."
        await page.fill("#key-field", "wrong")
        await page.press("#key-field", "Enter")
        await console.wait_for_text("#key-reason", "The API key is unknown or disabled.")
        await page.fill("#key-field", key)
        await page.press("#key-field", "Enter")
        await page.wait_for_selector("#picture:not(.stale) img:not([hidden])")
        await console.wait_for_text("#plan-text", "of 600 requests left this minute")
        assert key not in page.url
        assert key not in str(await context.storage_state())
        assert await page.evaluate("JSON.stringify(localStorage)") != ""
        assert key not in await page.evaluate("JSON.stringify(localStorage)")
        await page.goto(f"{base}/docs")
        await page.locator(".opblock-summary-path").first.wait_for()
        other = await make_console(base)
        await other.page.goto(f"{base}/docs")
        await other.page.wait_for_selector("form:not([hidden])")
        await other.page.fill("#key", key)
        await other.page.click("form button")
        await other.page.locator(".opblock-summary-path").first.wait_for()
        assert console.foreign + other.foreign == []


async def test_light_and_dark_follow_the_system_and_the_button(console: Console) -> None:
    """The theme is that of the system until the button changes it; a reload keeps the choice."""
    page = console.page
    await console.open()
    theme = "document.documentElement.dataset.theme"
    assert await page.evaluate(theme) == "dark"
    await page.emulate_media(color_scheme="light")
    await page.wait_for_selector("html[data-theme=light]")
    await page.click("#theme")
    assert await page.evaluate(theme) == "dark"
    await page.reload()
    assert await page.evaluate(theme) == "dark"


async def test_everything_is_reached_by_keyboard(console: Console) -> None:
    """Keys open help, focus URL and question, and zoom the map; a window is typed; Tab shows the focus."""
    page = console.page
    await console.open(q=QUESTION)
    await page.press("#map", "?")
    await page.wait_for_selector("#help-dialog[open]")
    await page.keyboard.press("Escape")
    await page.press("#map", "/")
    focused = "document.activeElement.id"
    assert await page.evaluate(focused) == "question"
    await page.keyboard.press("Escape")
    assert await page.evaluate(focused) == "map"
    view = page.url
    await page.keyboard.press("+")
    await page.wait_for_url(lambda url: url != view)
    await page.keyboard.press("o")
    assert await page.evaluate(focused) == "url"
    await page.keyboard.press("Tab")
    outline = await page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    await page.click("#window-details summary")
    await page.fill("#window-width", "200")
    await page.press("#window-width", "Enter")
    await page.wait_for_url(re.compile("window=0,0,200,768"))


async def test_texts_of_others_are_never_markup(console: Console, worker: FakeWorker) -> None:
    """An answer, a question of a link and a scene of a link with markup are shown as text; no script runs."""
    page = console.page
    markup = "<img src=x onerror=document.title='owned'><script>document.title='owned'</script>"
    worker.says = lambda _: markup
    await console.open(q=f"What is {markup}?")
    await page.press("#question", "Enter")
    await page.wait_for_selector("#answers .result")
    assert await page.inner_text("#answers strong") == markup
    await page.goto(console.link(scene=f"s3://scenes/{markup}", survey="../../etc/passwd", window="a,b,c,d", tile="x"))
    await page.wait_for_selector("#alert:not([hidden])")
    assert await page.locator("#alert img, #answers img, #answers script").count() == 0
    assert await page.title() != "owned"


@pytest.mark.parametrize(
    ("name", "epsg", "affine", "matrix_set"),
    [
        ("pole", 3413, Affine(5000, 0, -640_000, 0, -5000, 640_000), "UPSArcticWGS84Quad"),
        ("antimeridian", 32601, Affine(100, 0, 346_000, 0, -100, 7_200_000), "WebMercatorQuad"),
    ],
)
async def test_a_scene_over_a_pole_or_the_antimeridian_is_whole(
    console: Console, scenes: S3Server, name: str, epsg: int, affine: Affine, matrix_set: str
) -> None:
    """Such a scene has tiles where it is, of a matrix set that shows it whole, and its middle is that of the map."""
    pixels = sea(256, 256, NOWHERE)
    scenes.client().put_object(
        Bucket="scenes", Key=f"{name}.tif", Body=geotiff(pixels, crs=CRS.from_epsg(epsg), transform=affine)
    )
    page = console.page
    tiles: list[str] = []
    page.on("response", lambda one: tiles.append(one.url) if one.ok and "/v1/sar/tiles/" in one.url else None)
    await console.open(f"s3://scenes/{name}.tif")
    await page.wait_for_load_state("networkidle")
    assert tiles
    assert {url.split("/tiles/")[1].split("/")[0] for url in tiles} == {matrix_set}
    box = await page.locator("#map").bounding_box()
    assert box
    await page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    await console.wait_for_text("#position", "px")
    col, row = (await page.inner_text("#position")).rpartition("px ")[2].split(", ")
    assert [int(col), int(row)] == pytest.approx([128, 128], abs=3)
    if name == "pole":
        # Right of the scene is the Arctic Ocean, and no land of the other pole.
        assert await pixels_of(page, box["x"] + box["width"] - 60, box["y"] + box["height"] / 2 + 30) == {GROUND}
        return
    # A view of thousands of tiles of the scene's first zoom level, a turn of the earth to the west: few show the scene.
    await page.goto("about:blank")
    tiles.clear()
    async with page.expect_response(lambda one: one.ok and "/v1/sar/tiles/" in one.url):
        await page.goto(console.link(scene=f"s3://scenes/{name}.tif", view="-18924313,7000000,19567"))
    await page.wait_for_load_state("networkidle")
    assert len(set(tiles)) <= 9
    # South of Fiji, which is on both sides of the antimeridian, a strip of the Pacific has no line, and no tile.
    await page.goto("about:blank")
    tiles.clear()
    await page.goto(console.link(scene=f"s3://scenes/{name}.tif", view="-18924313,-1865000,19567"))
    await page.wait_for_load_state("networkidle")
    assert not tiles
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    assert await pixels_of(page, middle[0] + 130, middle[1] - 10, 20) == {GROUND}


async def test_the_page_fits_a_small_screen(console: Console) -> None:
    """At 1024 x 700 and on a tablet of 768 x 1024, nothing scrolls sideways, and map and question are visible."""
    page = console.page
    await console.open(q=QUESTION)
    for width, height in ((1024, 700), (768, 1024)):
        await page.set_viewport_size({"width": width, "height": height})
        size: Any = await page.evaluate(
            "[document.documentElement.scrollWidth, document.documentElement.scrollHeight,"
            " document.querySelector('#map').clientWidth, document.querySelector('#map').clientHeight]"
        )
        assert size[0] <= width
        assert size[1] <= height
        assert size[2] >= width - 341
        assert size[3] >= 300
        await page.locator("#question").scroll_into_view_if_needed()
        assert await page.is_visible("#question")
