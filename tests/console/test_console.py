"""The console in a real browser: scenes, the picture that the model sees, and questions."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from playwright.async_api import Download, Page, Request, Response

from console.conftest import HARBOR, PLAIN, QUESTION, Console, harbor
from support.georeferenced_scenes import geotiff
from support.s3 import S3Server
from support.workers.chat_replies import completion
from support.workers.fake_worker import FakeWorker


def state_of(page: Page) -> dict[str, str]:
    """Return the state in the link of a page."""
    return {name: values[0] for name, values in parse_qs(urlsplit(page.url).fragment).items()}


def image_of(request: Request) -> Any:
    """Return the image in the body of a request."""
    body: Any = request.post_data_json
    return body["image"]


async def json_of(download: Download) -> Any:
    """Return the document of a downloaded file."""
    path = await download.path()
    return json.loads(await asyncio.to_thread(path.read_text))


async def drag(page: Page, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Drag the mouse between two points, as shares of the map."""
    box = await page.locator("#map").bounding_box()
    assert box
    points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in (start, end)]
    await page.mouse.move(*points[0])
    await page.mouse.down()
    await page.mouse.move(*points[1], steps=4)
    await page.mouse.up()


async def test_the_first_screen_leads_to_an_answer(console: Console) -> None:
    """`/` shows the sample scenes with pictures; a click opens one, asks its question and shows the answer."""
    page = console.page
    await page.goto(console.base)
    assert urlsplit(page.url).path == "/console"
    samples = page.locator("#samples button")
    await samples.first.wait_for()
    assert [(await samples.nth(i).inner_text()).split("\n")[0] for i in range(2)] == ["harbor.tif", "plain.png"]
    await page.wait_for_selector("#samples img[src^=blob]")
    await samples.first.click()
    await console.wait_for_text("#facts-list", "EPSG:32631")
    assert await page.input_value("#question") == QUESTION
    assert (await console.text("#facts-title"), await page.title()) == ("harbor.tif", "harbor.tif")
    facts = await console.text("#facts-list")
    assert facts.startswith("1024 × 768 px · 10 m · band 1")
    await page.wait_for_selector("#answers .result")
    # All of the scene, reduced to 256 pixels: the model doesn't see ships of 6 pixels.
    assert await page.inner_text("#answers strong") == "0"


async def test_tiles_and_picture_come_from_the_api(console: Console) -> None:
    """The map loads tiles of WebMercatorQuad, and the picture is the one that the model gets."""
    responses: list[Response] = []
    console.page.on("response", lambda response: responses.append(response))  # noqa: PLW0108  not a built-in
    await console.open(window="600,200,200,200")
    await console.page.wait_for_load_state("networkidle")
    tiles = [one for one in responses if "/v1/sar/tiles/" in one.url]
    assert tiles
    assert {(one.status, urlsplit(one.url).path.split("/")[4]) for one in tiles} == {(200, "WebMercatorQuad")}
    (picture,) = [one for one in responses if "/v1/sar/picture" in one.url]
    query = parse_qs(urlsplit(picture.url).query)
    assert (query["window"], query["model"]) == (["600,200,200,200"], ["sarlens-nano"])
    assert await console.page.eval_on_selector("#picture-image", "image => image.naturalWidth") == 200


async def test_bands_and_rendering_are_those_of_map_picture_and_question(console: Console, scenes: S3Server) -> None:
    """Bands, filter and stretch of the menus are in the link, the tiles, the picture, its caption and a question."""
    page = console.page
    scenes.client().put_object(Bucket="scenes", Key="dual.tif", Body=geotiff(np.stack([harbor(), harbor() // 3])))
    await console.open("s3://scenes/dual.tif", window="600,200,200,200", q=QUESTION)
    assert await console.text("#picture-text") == "band 1 · refined Lee · 2–98 % · relative power"
    await page.click("#render-details summary")
    await page.select_option("#render-filter", "none")
    await page.select_option("#render-stretch", "5,95")
    wanted = {"bands": ["1,2"], "filter": ["none"], "stretch": ["5,95"]}

    def is_rendered_so(path: str, url: str) -> bool:
        query = parse_qs(urlsplit(url).query)
        return path in url and all(query.get(name) == value for name, value in wanted.items())

    async with (
        page.expect_request(lambda one: is_rendered_so("/v1/sar/tiles/", one.url)),
        page.expect_request(lambda one: is_rendered_so("/v1/sar/picture", one.url)),
    ):
        await page.select_option("#render-bands", "1,2")
    await console.wait_for_text("#picture-text", "band 1, band 2 · no filter · 5–95 % · relative power")
    assert state_of(page)["bands"] == "1,2"
    async with page.expect_request("**/v1/sar/vqa") as asked:
        await page.press("#question", "Enter")
    sar = {"bands": [1, 2], "filter": "none", "stretch": [5, 95], "window": [600, 200, 200, 200]}
    assert image_of(await asked.value)["sar"] == sar
    await page.wait_for_selector("#answers .result")


async def test_an_answer_that_is_cut_off_or_refused_says_so(console: Console, worker: FakeWorker) -> None:
    """A cut-off answer has a warning, a refusal its words, reasoning is next to it, and Stop ends a question."""
    page = console.page
    await console.open(window="600,200,256,256", q=QUESTION)
    newest = page.locator("#answers li").first
    cases: list[tuple[dict[str, Any], str, str]] = [
        ({"content": "1"}, "length", "it reached the maximum number of tokens"),
        ({"content": None, "refusal": "I don't count."}, "stop", "The model refused: I don't count."),
        ({"content": "many"}, "stop", "The text has no number."),
        ({"content": "3", "reasoning": "I see three."}, "stop", "Reasoning"),
    ]
    for number, (message, reason, text) in enumerate(cases, start=1):
        worker.fails_with = completion(message, reason)
        await page.press("#question", "Enter")
        await page.locator("#answers .result").nth(number - 1).wait_for()
        assert text in await newest.inner_text()
    await newest.locator("summary").click()
    assert "I see three." in await newest.inner_text()
    worker.fails_with, worker.hangs = None, True
    await page.press("#question", "Enter")
    await newest.locator("button", has_text="Stop").click()
    await page.wait_for_function("document.querySelectorAll('#answers li').length === 4")
    assert await page.is_hidden("#alert")
    worker.hangs = False


async def test_the_reduction_warns_and_offers_the_right_window(console: Console) -> None:
    """A window of 448 pixels is seen at 1 : 1.75, with a warning; the button makes it 256 pixels, at 1 : 1."""
    page = console.page
    await console.open(window="500,100,448,448")
    assert "448 × 448 px are seen at 1\N{NO-BREAK SPACE}:\N{NO-BREAK SPACE}1.75" in await console.text("#reduction")
    label = await console.text("#selection-label")
    assert label == "448 × 448 px · seen at 1\N{NO-BREAK SPACE}:\N{NO-BREAK SPACE}1.75 ⚠"
    await page.click("#reduction button")
    await console.wait_for_text("#reduction", "256 × 256 px, seen at 1")
    assert state_of(page)["window"] == "596,196,256,256"
    assert "⚠" not in await console.text("#selection-label")


async def test_a_box_is_drawn_moved_and_asked(console: Console, worker: FakeWorker) -> None:
    """B and a drag select a window; the box moves by drag and by keys; the typed question is about that window."""
    page = console.page
    await console.open(q=QUESTION)
    await page.fill("#question", "Are there any ships in the image?")
    await page.press("#map", "b")
    assert await page.get_attribute("#draw-box", "aria-pressed") == "true"
    await drag(page, (0.3, 0.3), (0.5, 0.5))
    await page.wait_for_selector("#selection-label:not([hidden])")
    first = [int(number) for number in state_of(page)["window"].split(",")]
    assert min(first[2:]) > 100
    await drag(page, (0.4, 0.4), (0.45, 0.4))
    await page.wait_for_url(lambda url: f"window={first[0]}," not in url)
    moved = [int(number) for number in state_of(page)["window"].split(",")]
    assert moved[0] > first[0]
    await page.press("#map", "Shift+ArrowDown")
    nudged = [int(number) for number in state_of(page)["window"].split(",")]
    assert nudged == [moved[0], moved[1] + round(moved[3] / 8), *moved[2:]]
    async with page.expect_request("**/v1/sar/vqa") as asked:
        await page.press("#question", "Enter")
    assert image_of(await asked.value) == {"url": HARBOR, "sar": {"window": nudged}}
    assert state_of(page)["q"] == "Are there any ships in the image?"
    await page.wait_for_selector("#answers .result")
    assert len(worker.bodies) == 1


async def test_a_polygon_is_sent_in_longitude_and_latitude(console: Console) -> None:
    """P and three corners select a polygon, which the gateway gets as GeoJSON around the same place."""
    page = console.page
    await console.open(q=QUESTION)
    await page.press("body", "p")
    box = await page.locator("#map").bounding_box()
    assert box
    corners = [(0.4, 0.4), (0.6, 0.4), (0.5, 0.6), (0.4, 0.4)]
    for x, y in corners:
        await page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])
    await page.wait_for_url(re.compile("polygon="))
    async with page.expect_request("**/v1/sar/vqa") as asked:
        await page.press("#question", "Enter")
    ((*ring, last),) = image_of(await asked.value)["sar"]["polygon"]["coordinates"]
    assert len(ring) == 3
    assert ring[0] == last
    assert all(abs(lon - 3.06) < 0.1 and abs(lat - 45.12) < 0.1 for lon, lat in ring)
    await page.wait_for_selector("#answers .result")


async def test_answers_have_confidence_type_and_time_and_stack(console: Console, worker: FakeWorker) -> None:
    """Two questions give two answers with confidence 0.75, type and time; the newest is on top."""
    page = console.page
    worker.probability = 0.75
    await console.open(window="600,200,256,256")
    await page.fill("#question", f"{QUESTION}\nAre there any ships in the image?")
    await page.click("#question-form button")
    results = page.locator("#answers .result")
    await results.nth(1).wait_for()
    assert sorted([await results.nth(i).locator("strong").inner_text() for i in range(2)]) == ["1", "Yes"]
    assert await page.eval_on_selector_all("#answers meter", "bars => bars.map(bar => bar.value)") == [0.75, 0.75]
    assert "0.75" in await results.first.inner_text()
    assert re.search(r"\d+\.\d+ s", await results.first.inner_text())
    title = await page.get_attribute("#answers .confidence", "title")
    assert title
    assert "isn't calibrated" in title
    await page.fill("#question", "Describe the content of this image in one sentence.")
    await page.press("#question", "Enter")
    await results.nth(2).wait_for()
    assert await results.first.locator("strong").inner_text() == "There are 3 ships."


async def test_an_answer_is_marked_wrong_and_exported(console: Console) -> None:
    """A mark with a note stays after a reload of the question, and is in the exported answers."""
    page = console.page
    await console.open(window="600,200,256,256", q=QUESTION)
    await page.press("#question", "Enter")
    await page.click("#answers .mark")
    await page.fill("#answers .marking input", "two")
    async with page.expect_download() as downloading:
        await page.click("#export-answers")
    (row,) = await json_of(await downloading.value)
    assert (row["scene"], row["question"], row["text"]) == (HARBOR, QUESTION, "1")
    assert (row["marked_wrong"], row["note"], row["confidence"]) == (True, "two", 0.75)
    await page.reload()
    await page.wait_for_selector("#picture:not(.stale) img:not([hidden])")
    await page.press("#question", "Enter")
    await page.wait_for_selector("#answers .result")
    assert await page.input_value("#answers .marking input") == "two"


async def test_an_error_is_the_sentence_of_the_api(console: Console) -> None:
    """A scene that doesn't exist shows the API's sentence with the request id; field and sample scenes stay."""
    page = console.page
    await page.goto(f"{console.base}/console")
    await page.fill("#url", "s3://scenes/missing.tif")
    async with page.expect_response("**/v1/sar/scene*") as answering:
        await page.press("#url", "Enter")
    error = (await (await answering.value).json())["error"]
    await page.wait_for_selector("#alert:not([hidden])")
    alert = await console.text("#alert")
    assert error["message"] in alert
    assert error["request_id"] in alert
    assert await page.input_value("#url") == "s3://scenes/missing.tif"
    assert await page.is_visible("#samples")


async def test_opened_scenes_are_suggested(console: Console) -> None:
    """A scene that was opened is a suggestion of the field after a reload."""
    await console.open()
    await console.page.reload()
    await console.page.wait_for_selector("#recent option", state="attached")
    assert await console.page.get_attribute("#recent option", "value") == HARBOR


async def test_an_unplaced_scene_has_the_same_tools_in_pixels(console: Console) -> None:
    """A PNG is shown in its own pixels, without north and survey, whose section has the reason; a box is a window."""
    page = console.page
    await console.open(PLAIN, q="What type of object is present in the image?")
    assert "not georeferenced" in await console.text("#facts-list")
    for hidden in ("#north", "#plan-form"):
        assert await page.is_hidden(hidden)
    assert "georeference" in await console.text("#no-plan")
    await page.press("body", "b")
    await drag(page, (0.4, 0.4), (0.6, 0.6))
    await page.wait_for_url(re.compile("window="))
    col, row, width, height = (int(number) for number in state_of(page)["window"].split(","))
    assert 0 < col < col + width < 64
    assert 0 < row < row + height < 48
    async with page.expect_request("**/v1/sar/vqa") as asked:
        await page.press("#question", "Enter")
    assert image_of(await asked.value)["sar"] == {"window": [col, row, width, height]}
    await page.wait_for_selector("#answers .result")


async def test_the_link_is_the_state_and_back_returns(console: Console) -> None:
    """Scene, window, view and question are in the link; Back undoes a window; a copy of the link shows the same."""
    page = console.page
    await console.open(window="100,100,256,256", q=QUESTION)
    await page.click("#whole")
    await console.wait_for_text("#reduction", "1024 × 768")
    await page.go_back()
    await console.wait_for_text("#reduction", "256 × 256")
    await page.click(".ol-zoom-in")
    await page.wait_for_url(re.compile(r"view=[^&]*,8\.5"))
    other = await page.context.new_page()
    await other.goto(page.url)
    await other.wait_for_selector("#picture:not(.stale) img:not([hidden])")
    assert await other.inner_text("#reduction") == await page.inner_text("#reduction")
    assert await other.input_value("#question") == QUESTION
    assert state_of(other) == state_of(page)


async def test_position_of_the_pointer_is_shown(console: Console) -> None:
    """At the middle of the scene, the footer has its pixel, and its longitude and latitude to 4 decimals."""
    await console.open()
    box = await console.page.locator("#map").bounding_box()
    assert box
    await console.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    found = re.search(r"([\d.]+)° N ([\d.]+)° E +px (\d+), (\d+)", await console.page.inner_text("#position"))
    assert found
    lat, lon, col, row = map(float, found.groups())
    # UTM 31: 500,000 m is 3° E.
    assert [col, row] == pytest.approx([512, 384], abs=4)
    assert [lon, lat] == pytest.approx([3.0651, 45.1185], abs=4e-3)


async def test_programs_repeat_the_question(console: Console) -> None:
    """Copy as curl and as Python give programs that send the same body; the Python one runs."""
    page = console.page
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await console.open(window="600,200,256,256", q=QUESTION)
    await page.select_option("#copy-answer", "curl")
    await page.wait_for_selector("#toast.shown")
    command = await page.evaluate("navigator.clipboard.readText()")
    body = json.loads(re.search(r"-d '(.*)'", command)[1])  # type: ignore[index]
    assert body["image"] == {"url": HARBOR, "sar": {"window": [600, 200, 256, 256]}}
    assert f"curl '{console.base}/v1/sar/vqa'" in command
