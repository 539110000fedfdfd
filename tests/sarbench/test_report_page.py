"""The report page: self-contained, escaped, and with the source of published figures."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from playwright.async_api import Browser, async_playwright
from typer.testing import CliRunner, Result

from sarbench.cli import app
from sarbench.report.published import ACCURACIES, CIDERS
from support.sarlang_fixture import NICE, write_released
from support.workers.fake_openai_server import FakeOpenAIServer, serving

ATTACK = "<script>alert('gt')</script>"


VOID = {"meta"}


class Page(HTMLParser):
    """HTML parser that records text and tags and checks their nesting."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Record a tag and open it."""
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Record an empty tag."""
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        """Close the last open tag."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Record text outside of the stylesheet."""
        if self.open[-1:] != ["style"]:
            self.words.append(data)

    @property
    def text(self) -> str:
        """The visible text."""
        return " ".join(self.words)


async def command(*arguments: str) -> Result:
    """Run sarbench in a thread, next to the endpoint."""
    result = await asyncio.to_thread(CliRunner().invoke, app, arguments)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.fixture(scope="module")
async def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a data set and two scored runs, one with blackout. The endpoint answers with a script tag."""
    folder = tmp_path_factory.mktemp("report")
    write_released(folder / "data", train=True)

    def answer(prompt: str) -> str:
        return "4" if "How many" in prompt else "Yes" if "there" in prompt else ATTACK

    async with serving(FakeOpenAIServer(answer)) as oracle:
        endpoint = ("--base-url", oracle.url, "--model", ATTACK, "--data", str(folder / "data"))
        await command("run", *endpoint, "--out", str(folder / "seen"))
        await command("run", *endpoint, "--out", str(folder / "black"), "--blackout")
    for name in ("seen", "black"):
        assert (await command("score", str(folder / name))).exit_code == 0
    return folder


async def document(runs: Path, *names: str) -> str:
    """Return the report of the named runs."""
    out = runs / "report.html"
    result = await command("report", *(str(runs / name) for name in names), "--out", str(out))
    assert result.exit_code == 0, result.output
    return await asyncio.to_thread(out.read_text, encoding="utf-8")


async def test_the_page_is_self_contained(runs: Path) -> None:
    """Images are data URLs, there are no scripts or external resources, and all tags are closed."""
    page = Page(await document(runs, "seen", "black"))
    assert not page.open
    assert {tag for tag, _ in page.tags}.isdisjoint({"script", "link", "iframe", "img"})
    loaded = [value for _, attrs in page.tags for name, value in attrs.items() if name in {"src", "href"} and value]
    assert loaded
    assert all(value.startswith("data:image/jpeg;base64,") for value in loaded)
    with Image.open(BytesIO(base64.b64decode(loaded[0].partition(",")[2]))) as picture:
        assert picture.size == (64, 48)


async def test_model_output_is_escaped(runs: Path) -> None:
    """Markup in an answer or model name is shown as text."""
    text = await document(runs, "seen", "black")
    assert "<script" not in text
    assert Page(text).text.count(ATTACK) > 5


async def test_published_figures_state_their_source(runs: Path) -> None:
    """Every published figure is on the page, next to a note on its source."""
    text = Page(await document(runs, "seen")).text
    assert text.count("transcribed from a third party's summary of the paper") == 2
    assert "not checked against its tables" in text
    for accuracy in ACCURACIES:
        assert f"{accuracy.accuracy:.2f}" in text
    for cider in CIDERS:
        assert f"{cider.complex_:.2f}" in text
        assert f"{cider.concise:.2f}" in text


async def test_all_runs_and_baselines_are_in_the_tables(runs: Path) -> None:
    """Both runs, the majority answer, the retrieved caption, and unjudged answers are on the page."""
    text = Page(await document(runs, "seen", "black")).text
    for words in ("seen", "black, blacked out", "Majority answer", "caption of the nearest image", "Region Referring"):
        assert words in text
    assert "answers of seen need a judge, but no judge is configured: they count as wrong" in " ".join(text.split())


async def test_the_box_of_a_region_question_is_drawn(runs: Path) -> None:
    """The box of a region question is drawn in image pixels."""
    page = Page(await document(runs, "seen"))
    boxes = [attrs for tag, attrs in page.tags if tag == "rect" and attrs.get("class") == "box"]
    assert [(box["x"], box["y"], box["width"], box["height"]) for box in boxes] == [("56.0", "191.0", "112.0", "122.0")]


async def test_answers_without_an_image_are_shown(runs: Path) -> None:
    """Without an image or the data set, the answers are shown without images."""
    image, data = runs / "data/SARimages" / NICE, runs / "data"
    whole = await asyncio.to_thread(image.read_bytes)
    await asyncio.to_thread(image.write_bytes, b"damaged")
    assert "no image" in await document(runs, "seen")
    await asyncio.to_thread(image.write_bytes, whole)
    await asyncio.to_thread(data.rename, runs / "moved")
    text = await document(runs, "seen")
    await asyncio.to_thread((runs / "moved").rename, data)
    assert "image/jpeg" not in text
    assert "Where is the orchard located?" in text


async def test_runs_over_other_texts_are_not_compared_silently(runs: Path, tmp_path: Path) -> None:
    """A run over 5 of the 20 texts is named beside one over all of them; runs over the same texts are not."""
    async with serving(FakeOpenAIServer()) as oracle:
        more = ("--base-url", oracle.url, "--model", "m", "--data", str(runs / "data"), "--limit", "5")
        await command("run", *more, "--out", str(tmp_path / "few"))
    await command("score", str(tmp_path / "few"))
    text = " ".join(Page(await document(runs, "seen", str(tmp_path / "few"))).text.split())
    assert "seen and few have different texts: of 20 and 5 texts, 5 are in both" in text
    assert "Limit: None and 5." in text
    assert "have different texts" not in await document(runs, "seen", "black")


async def test_runs_over_the_same_texts_are_compared_in_pairs(runs: Path) -> None:
    """The page has the paired difference of the second run, the groups, and the rules of the first."""
    text = " ".join(Page(await document(runs, "seen", "black")).text.split())
    assert "Compared with seen" in text
    assert "McNemar's exact test" in text
    assert "OpenEarthMap-SAR" in text
    assert "digits only" in text


@pytest.fixture
async def chromium() -> AsyncIterator[Browser]:
    """Debian's Chromium."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        yield browser
        await browser.close()


@pytest.mark.parametrize("width", [1024, 400])
async def test_the_page_fits_a_narrow_window(width: int, runs: Path, chromium: Browser) -> None:
    """At 1,024 pixels nothing is cut off, and at 400 only tables scroll: the page never scrolls sideways."""
    await document(runs, "seen", "black")
    page = await chromium.new_page(viewport={"width": width, "height": 800})
    await page.goto((runs / "report.html").as_uri())
    assert await page.evaluate("document.documentElement.scrollWidth") <= width
    cut_off = await page.evaluate(
        "[...document.querySelectorAll('.scroll')].filter(e => e.scrollWidth > e.clientWidth).length"
    )
    assert cut_off == 0 or width < 1024


async def test_an_unscored_run_is_reported(runs: Path, tmp_path: Path) -> None:
    """A run without scores gives exit code 1 and names the command to run."""
    (tmp_path / "run.json").write_bytes((runs / "seen" / "run.json").read_bytes())
    result = await command("report", str(tmp_path))
    assert result.exit_code == 1
    assert "has no scores of this version: run sarbench score" in result.output
