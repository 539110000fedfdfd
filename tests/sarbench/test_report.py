"""The report: one page that is whole in itself and tells the truth about where figures come from."""

from __future__ import annotations

import asyncio
import base64
import re
from dataclasses import replace
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner, Result

from sarbench.cli import app
from sarbench.dataset.layout import Variety
from sarbench.report.published import ACCURACIES, CIDERS
from sarbench.report.svg import Bar, heatmap, histogram, whiskers
from sarbench.report.worst import worst
from sarbench.run.answers import Answer
from sarbench.score.bootstrap import Mean
from sarlens.prompts.applications import Application
from stack.oracle import Oracle, serving
from stack.released import BOXED, NICE, write_released

ATTACK = "<script>alert('gt')</script>"
VOID = {"meta"}


class Page(HTMLParser):
    """What a browser would make of a page: its text, its tags, and whether they nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag and what it opens."""
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag without an inside."""
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        """Close what was opened last."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Note text, but for the style's."""
        if self.open[-1:] != ["style"]:
            self.words.append(data)

    @property
    def text(self) -> str:
        """All that can be read."""
        return " ".join(self.words)


async def command(*arguments: str) -> Result:
    """Run sarbench beside the endpoint of a test."""
    result = await asyncio.to_thread(CliRunner().invoke, app, arguments)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.fixture(scope="module")
async def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a data set and two scored runs, one of them blacked out; the endpoint answers with an attack."""
    folder = tmp_path_factory.mktemp("report")
    write_released(folder / "data", train=True)

    def answer(asked: str) -> str:
        return "4" if "How many" in asked else "Yes" if "there" in asked else ATTACK

    async with serving(Oracle(answer)) as oracle:
        where = ("--base-url", oracle.url, "--model", ATTACK, "--data", str(folder / "data"))
        await command("run", *where, "--out", str(folder / "seen"))
        await command("run", *where, "--out", str(folder / "black"), "--blackout")
    for name in ("seen", "black"):
        assert (await command("score", str(folder / name))).exit_code == 0
    return folder


async def document(runs: Path, *names: str) -> str:
    """The report of the named runs."""
    out = runs / "report.html"
    result = await command("report", *(str(runs / name) for name in names), "--out", str(out))
    assert result.exit_code == 0, result.output
    return await asyncio.to_thread(out.read_text, encoding="utf-8")


async def test_the_page_needs_nothing_beside_it(runs: Path) -> None:
    """No tag loads anything: every picture is a data URL, there is no script, and all tags close."""
    page = Page(await document(runs, "seen", "black"))
    assert not page.open
    assert {tag for tag, _ in page.tags}.isdisjoint({"script", "link", "iframe", "img"})
    loaded = [value for _, attrs in page.tags for name, value in attrs.items() if name in {"src", "href"} and value]
    assert loaded
    assert all(value.startswith("data:image/jpeg;base64,") for value in loaded)
    with Image.open(BytesIO(base64.b64decode(loaded[0].partition(",")[2]))) as picture:
        assert picture.size == (64, 48)


async def test_what_a_model_says_is_only_text(runs: Path) -> None:
    """An answer or a model's name that is markup is shown, not run."""
    text = await document(runs, "seen", "black")
    assert "<script" not in text
    assert Page(text).text.count(ATTACK) > 5


async def test_published_figures_are_marked_as_such(runs: Path) -> None:
    """Every published figure is on the page, beside the words that say how it was transcribed."""
    text = Page(await document(runs, "seen")).text
    assert text.count("transcribed from a third party's summary of the paper") == 2
    assert "not checked against its tables" in text
    for accuracy in ACCURACIES:
        assert f"{accuracy.accuracy:.2f}" in text
    for cider in CIDERS:
        assert f"{cider.complex_:.2f}" in text
        assert f"{cider.concise:.2f}" in text


async def test_runs_stand_side_by_side(runs: Path) -> None:
    """Both runs, the majority answer and the retrieved caption are in the tables, and unjudged answers are told."""
    text = Page(await document(runs, "seen", "black")).text
    for words in ("seen", "black, blacked out", "Majority answer", "nearest image's caption", "Region Referring"):
        assert words in text
    assert "answers of seen need the judge, no judge was given: they count as wrong" in " ".join(text.split())


async def test_a_region_is_framed_in_its_picture(runs: Path) -> None:
    """The box of a region question is drawn over the picture, in the image's own pixels."""
    page = Page(await document(runs, "seen"))
    boxes = [attrs for tag, attrs in page.tags if tag == "rect" and attrs.get("class") == "box"]
    assert [(box["x"], box["y"], box["width"], box["height"]) for box in boxes] == [("56.0", "191.0", "112.0", "122.0")]


async def test_a_picture_that_is_gone_leaves_its_answer(runs: Path) -> None:
    """Without an image, or without the data set, the answers are still shown."""
    image, data = runs / "data/SARimages" / NICE, runs / "data"
    whole = await asyncio.to_thread(image.read_bytes)
    await asyncio.to_thread(image.write_bytes, b"damaged")
    assert "no picture" in await document(runs, "seen")
    await asyncio.to_thread(image.write_bytes, whole)
    await asyncio.to_thread(data.rename, runs / "moved")
    text = await document(runs, "seen")
    await asyncio.to_thread((runs / "moved").rename, data)
    assert "image/jpeg" not in text
    assert "Where is the orchard located?" in text


async def test_an_unscored_run_is_told(runs: Path, tmp_path: Path) -> None:
    """A run has to be scored before it is reported."""
    (tmp_path / "run.json").write_bytes((runs / "seen" / "run.json").read_bytes())
    result = await command("report", str(tmp_path))
    assert result.exit_code == 2
    assert "has no score of this sarbench: run sarbench score" in result.output


def answer(number: int, application: Application, truth: str, said: str) -> Answer:
    """An answer to a question of an application."""
    question = "Q?"
    return Answer(f"t.csv#{number}", "a.png", "test", Variety.SARVQA1, application, question, truth, said, 0.1)


def test_the_worst_are_dealt_by_application() -> None:
    """Each application gives its worst in turn, so that one that is always wrong does not hide the others."""
    counting, others = Application.INSTANCE_COUNTING, Application.OTHERS
    counted = [answer(number, counting, "3", str(3 + number)) for number in range(9)]
    odd = [answer(100 + number, others, "Urban", "Sea") for number in range(50)]
    caption = replace(
        answer(200, Application.IMAGE_DESCRIPTION, "a ship", "a car"), variety=Variety.CONCISE, question=""
    )
    bads = worst([*counted, *odd, answer(300, others, "Urban", "urban"), caption], 6)
    assert [(bad.answer.application, bad.remark) for bad in bads] == [
        (Application.IMAGE_DESCRIPTION, "CIDEr 0"),
        (counting, "off by 8"),
        (others, ""),
        (counting, "off by 7"),
        (others, ""),
        (counting, "off by 6"),
    ]


def test_at_most_a_hundred_are_shown_and_none_that_is_right() -> None:
    """Right answers are not among the worst, however few there are."""
    right = [answer(number, Application.OTHERS, "Urban", "urban") for number in range(5)]
    wrong = [answer(number, row[3], row[2], "?") for number, row in enumerate(BOXED * 40, 10)]
    assert worst(right) == []
    assert len(worst([*right, *wrong])) == 100


SHARES = st.floats(0, 1)


@given(st.lists(st.tuples(st.text(max_size=40), SHARES, SHARES, SHARES), max_size=5), st.text())
def test_charts_are_well_formed(rows: list[tuple[str, float, float, float]], title: str) -> None:
    """Any names and values give an SVG that parses and draws inside its frame."""
    printable = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
    bars = [Bar(printable.sub("", name), Mean(1, *sorted(values)), 0) for name, *values in rows]
    root = ElementTree.fromstring(whiskers(printable.sub("", title), bars))
    assert len(root.findall(".//circle")) == len(rows)
    assert all(0 <= float(circle.attrib["cx"]) <= 344 for circle in root.findall(".//circle"))


def test_the_count_map_holds_every_count() -> None:
    """Each pair of true and answered count is one cell, right ones marked, with anything else in the last column."""
    root = ElementTree.fromstring(heatmap("counts", {(0, 0): 3, (2, 1): 1, (2, None): 1}, 2))
    assert len(root.findall("rect")) == 2 * 4
    assert [text.text for text in root.findall("text") if text.attrib["class"].startswith("count")] == ["3", "1", "1"]
    assert sum(rect.attrib["class"] == "cell right" for rect in root.findall("rect")) == 2


def test_the_histogram_counts_all_values() -> None:
    """The ends belong to the first and the last bar."""
    root = ElementTree.fromstring(histogram("scores", [0, 0, 999.9, 1000], 1000, bins=4))
    titles = [rect.findtext("title") for rect in root.findall("rect")]
    assert titles == ["2 captions", "0 captions", "0 captions", "2 captions"]
