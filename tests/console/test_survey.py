"""Surveys in the console: plan, tiles as they come, filter, choice, cancel, reload, exports and programs."""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
from contextlib import closing
from typing import Any

import numpy as np
from playwright.async_api import Download, Page

from console.conftest import HARBOR, QUESTION, SHIPS, Console
from support.georeferenced_scenes import geotiff, sea
from support.s3 import S3Server
from support.workers.fake_worker import FakeWorker

YES_NO = "Are there any ships in the image?"


async def start(console: Console, question: str = QUESTION, **state: str) -> Page:
    """Open the harbor and start a survey of it."""
    await console.open(q=question, **state)
    await console.page.click("#plan-start")
    await console.page.wait_for_selector("#survey:not([hidden])")
    return console.page


async def finish(page: Page) -> str:
    """Wait until the survey has ended, and return its text."""
    await page.locator("#survey-text").filter(has_text="12 / 12 tiles").wait_for()
    await page.wait_for_selector("#survey-cancel", state="hidden")
    return (await page.inner_text("#survey-text")).strip()


def job_of(page: Page) -> str:
    """Return the id of the survey in the link."""
    found = re.search(r"survey=(\w+)", page.url)
    assert found
    return found[1]


async def total_of(console: Console) -> dict[str, Any]:
    """Return the totals of the gateway for the only question of the survey in the link."""
    response = await console.page.request.get(f"{console.base}/v1/sar/surveys/{job_of(console.page)}/features")
    (total,) = (await response.json())["survey"]["totals"]
    return dict(total)


async def download_bytes(download: Download) -> bytes:
    """Return the content of a downloaded file."""
    path = await download.path()
    return await asyncio.to_thread(path.read_bytes)


async def click_tile(page: Page, col: float, row: float) -> None:
    """Click a pixel of the harbor, which fills the height of the map after `Escape`."""
    await page.focus("#map")
    await page.keyboard.press("Escape")
    outline: Any = await page.evaluate("() => document.querySelector('#map').getBoundingClientRect().toJSON()")
    # The view fits the scene with a margin of 40 pixels; the picture is 1024 x 768, turned by less than half a degree.
    scale = min((outline["width"] - 80) / 1024, (outline["height"] - 80) / 768)
    x = outline["x"] + outline["width"] / 2 + (col - 512) * scale
    y = outline["y"] + outline["height"] / 2 + (row - 384) * scale
    await page.mouse.click(x, y)


async def test_the_plan_is_what_the_gateway_runs(console: Console) -> None:
    """The plan has the tiles of the whole scene, of a window and of a polygon that a survey then has."""
    page = console.page
    await console.open(q=QUESTION)
    assert await console.text("#plan-text") == "12 tiles of 256 px."
    await page.click("#plan summary")
    await page.fill("#plan-tile", "512")
    await console.wait_for_text("#plan-text", "4 tiles of 512 px. ⚠ The model sees tiles of 512 px at 1 : 2.")
    await page.fill("#plan-tile", "256")
    for state, count in (
        ({"window": "300,300,400,300"}, 4),
        ({"window": "100,100,700,600", "polygon": "100,100,800,120,120,700"}, None),
    ):
        await console.open(q=QUESTION, **state)
        planned = int((await console.text("#plan-text")).split()[0])
        async with page.expect_response(lambda one: one.url.endswith("/v1/sar/surveys")) as submitted:
            await page.click("#plan-start")
        job = await (await submitted.value).json()
        assert job["tiles"] == planned
        assert count in {None, planned}


async def test_tiles_come_in_and_sum_up(console: Console) -> None:
    """A survey of the harbor finds 3 ships in 3 of 12 tiles, and its link shows the same after a reload."""
    page = await start(console)
    assert await finish(page) == "12 / 12 tiles · 3 in 3 tiles"
    await page.reload()
    assert await finish(page) == "12 / 12 tiles · 3 in 3 tiles"
    assert await page.get_attribute("#survey-progress", "value") == "12"
    assert re.split(r"\s+", await console.text("#legend")) == ["0", "1"]
    job = job_of(page)
    await page.click("#brand")
    await page.goto(f"{console.base}/console")
    earlier = page.locator("#surveys button")
    assert (await earlier.first.inner_text()).split("\n")[:4] == ["harbor.tif", QUESTION, "12 tiles", "successful"]
    await earlier.first.click()
    assert await finish(page) == "12 / 12 tiles · 3 in 3 tiles"
    await page.goto("about:blank")
    await page.goto(console.link(survey=job))
    assert await finish(page) == "12 / 12 tiles · 3 in 3 tiles"
    assert await page.input_value("#question") == QUESTION


async def test_tiles_that_overlap_have_an_estimate(console: Console) -> None:
    """With overlap, the plan has the gateway's 20 tiles, and the text has the estimate of the gateway and no sum."""
    page = console.page
    await console.open(q=QUESTION)
    await page.click("#plan summary")
    await page.fill("#plan-overlap", "64")
    await console.wait_for_text("#plan-text", "20 tiles of 256 px.")
    async with page.expect_response(lambda one: one.url.endswith("/v1/sar/surveys")) as submitted:
        await page.click("#plan-start")
    assert (await (await submitted.value).json())["tiles"] == 20
    await console.wait_for_text("#survey-text", "20 / 20 tiles")
    await page.wait_for_selector("#survey-cancel", state="hidden")
    total = await total_of(console)
    assert "sum" not in total
    expected = f"20 / 20 tiles · about {total['estimate']:g} in {total['tiles_above_zero']} tiles"
    assert await console.text("#survey-text") == expected


async def test_objects_are_points_above_the_tiles(console: Console, scenes: S3Server, worker: FakeWorker) -> None:
    """A survey with objects of a sea with small ships has the objects of the gateway, one of them on each ship."""
    page = console.page
    scenes.client().put_object(Bucket="scenes", Key="small.tif", Body=geotiff(sea(1024, 768, np.array(SHIPS))))
    worker.says = lambda _: "1"
    await console.open("s3://scenes/small.tif", q=QUESTION)
    await page.check("#plan-objects")
    await page.click("#plan-start")
    await console.wait_for_text("#survey-text", "objects")
    response = await page.request.get(f"{console.base}/v1/sar/surveys/{job_of(page)}/objects")
    found = [one["properties"] for one in (await response.json())["features"]]
    assert len(found) >= len(SHIPS)
    nearest = [min(abs(one["col"] - col) + abs(one["row"] - row) for one in found) for col, row in SHIPS]
    assert max(nearest) < 4
    total = await total_of(console)
    low, high = total["interval"]
    assert f" · {len(found)} objects ({low} to {high}) · {total['sum']} in " in await console.text("#survey-text")
    await page.fill("#filter-confidence", "0.99")
    await console.wait_for_text("#survey-text", "0 objects (0 to 0)")


async def test_a_tile_shows_its_picture_and_answers(console: Console) -> None:
    """A click on tile 6 shows its picture of 256 pixels, its answer, and a mark that the export has."""
    page = await start(console)
    await finish(page)
    await click_tile(page, 640, 384)
    await console.wait_for_text("#tile-title", "Tile 6")
    await page.wait_for_selector("#tile-image[src^=blob]")
    assert await page.eval_on_selector("#tile-image", "image => image.naturalWidth") == 256
    assert await page.inner_text("#tile-answers strong") == "1"
    await page.click("#tile-answers .mark")
    await page.fill("#tile-answers .marking input", "a buoy")
    async with page.expect_download() as exporting:
        await page.select_option("#survey-export", "geojson")
    layer = json.loads(await download_bytes(await exporting.value))
    marked = [one["properties"] for one in layer["features"] if one["properties"].get("marked_wrong")]
    assert [(one["tile"], one["note"], one["count"]) for one in marked] == [(6, "a buoy", 1)]
    assert len(layer["features"]) == 12


async def test_tiles_are_filtered_by_value_and_confidence(console: Console, worker: FakeWorker) -> None:
    """Value ≥ 1 leaves 3 of 12 tiles, and confidence above that of the answers leaves none; keys step through."""
    worker.probability = 0.75
    page = await start(console)
    await finish(page)
    await page.fill("#filter-value", "1")
    visited = []
    for key in ("]", "]", "]", "]"):
        await page.press("#map", key)
        await page.wait_for_selector("#tile:not([hidden])")
        visited.append(await page.inner_text("#tile-title"))
    assert visited == ["Tile 0", "Tile 6", "Tile 11", "Tile 0"]
    await page.fill("#filter-confidence", "0.8")
    assert await console.text("#survey-text") == "12 / 12 tiles"
    await page.fill("#filter-confidence", "0.7")
    await console.wait_for_text("#survey-text", "3 in 3 tiles")


async def test_several_questions_have_a_layer_each(console: Console) -> None:
    """A survey of two questions has a menu; yes and no are summed as tiles, and a tile shows both answers."""
    await console.open(q=QUESTION)
    page = console.page
    await page.fill("#question", f"{QUESTION}\n{YES_NO}")
    await page.click("#plan-start")
    await console.wait_for_text("#survey-text", "12 / 12 tiles")
    await page.wait_for_selector("#survey-cancel", state="hidden")
    await page.select_option("#survey-question", YES_NO)
    await console.wait_for_text("#survey-text", "yes in 3 tiles")
    await page.select_option("#survey-question", QUESTION)
    await console.wait_for_text("#survey-text", "3 in 3 tiles")
    await page.press("#map", "]")
    assert sorted(await page.locator("#tile-answers dt").all_inner_texts()) == sorted([QUESTION, YES_NO])


async def test_a_survey_is_canceled_and_resumed(console: Console, worker: FakeWorker) -> None:
    """Cancel stops a running survey: the gateway dismisses the job, and the text says so. Resume finishes it."""
    worker.hangs = True
    page = await start(console)
    await page.click("#survey-cancel")
    await console.wait_for_text("#survey-text", "canceled")
    response = await page.request.get(f"{console.base}/v1/sar/surveys/{job_of(page)}")
    assert (await response.json())["status"] == "dismissed"
    worker.hangs = False
    await page.click("#survey-resume")
    assert await finish(page) == "12 / 12 tiles · 3 in 3 tiles"
    assert await page.is_hidden("#survey-resume")


async def test_a_survey_is_exported_as_geopackage(console: Console) -> None:
    """The GeoPackage has the 12 answers, with 3 ships in all."""
    page = await start(console)
    await finish(page)
    async with page.expect_download() as exporting:
        await page.select_option("#survey-export", "gpkg")
    download = await exporting.value
    assert download.suggested_filename.endswith(".gpkg")
    path = await download.path()
    with closing(sqlite3.connect(path)) as database:
        ((table,),) = database.execute("SELECT table_name FROM gpkg_contents LIMIT 1").fetchall()
        assert database.execute(f'SELECT COUNT(*), SUM("count") FROM "{table}"').fetchall() == [(12, 3)]


async def test_a_survey_is_copied_as_programs(console: Console) -> None:
    """The Python program repeats the survey with its sum, curl has the same body, and QGIS gets the job's layer."""
    page = await start(console, window="0,0,256,256")
    await page.wait_for_selector("#survey-cancel", state="hidden")
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    programs = {}
    for kind, name in (("curl", "curl command"), ("python", "Python program"), ("qgis", "QGIS command")):
        await page.select_option("#survey-copy", kind)
        await console.wait_for_text("#toast", name)
        programs[kind] = await page.evaluate("navigator.clipboard.readText()")
    body = json.loads(programs["curl"].partition("-d '")[2].rpartition("'")[0])
    assert body == {
        "model": "sarlens-nano",
        "image": {"url": HARBOR, "sar": {"window": [0, 0, 256, 256]}},
        "questions": [QUESTION],
        "tile": 256,
        "overlap": 0,
    }
    run = await asyncio.create_subprocess_exec("python3", "-c", programs["python"], stdout=asyncio.subprocess.PIPE)
    output, _ = await run.communicate()
    assert b"'sum': 1" in output
    assert f"{console.base}/jobs/{job_of(page)}/results/answers" in programs["qgis"]


async def test_the_expected_time_is_that_of_the_last_survey(console: Console) -> None:
    """After a survey, the plan has the time of as many tiles; before any, none."""
    page = await start(console)
    await finish(page)
    await console.wait_for_text("#plan-text", "about")
    assert re.fullmatch(r"12 tiles of 256 px, about \d+ (s|min)\.", await console.text("#plan-text"))
