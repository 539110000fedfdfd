"""A gateway with scenes in a real S3 store, a worker that counts ships, and a real browser."""

from __future__ import annotations

import base64
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.async_api import Browser, BrowserContext, Page, Request, async_playwright
from scipy import ndimage

from sarlens.settings import ConsoleSettings, S3Settings, Settings, SurveySettings, WorkerSettings
from support.gateway import gateway
from support.georeferenced_scenes import geotiff, sea
from support.pictures import PNG
from support.s3 import S3Server
from support.workers.fake_worker import FakeWorker

CHROMIUM = "/usr/bin/chromium"
SHIPS = ((100, 100), (700, 340), (860, 620))
"""Column and row of each ship of the harbor: one in each of the tiles 0, 6 and 11 of 256 pixels."""
_SHIP_SIDE = 48
HARBOR, PLAIN = "s3://scenes/harbor.tif", "s3://scenes/plain.png"
QUESTION = "How many ships are in the image?"


@dataclass
class Console:
    """The console in a tab of the browser, and what the tab did."""

    page: Page
    base: str
    foreign: list[str] = field(default_factory=list)
    """Requests to another host than the gateway."""
    problems: list[str] = field(default_factory=list)
    """Exceptions of scripts and violations of the Content-Security-Policy."""

    def link(self, **state: str) -> str:
        """Return the link of a state."""
        return f"{self.base}/console#" + "&".join(f"{name}={quote(value)}" for name, value in state.items())

    async def open(self, scene: str = HARBOR, **state: str) -> None:
        """Open a scene by its link in a fresh page, and wait for its picture."""
        await self.page.goto("about:blank")
        await self.page.goto(self.link(scene=scene, **state))
        await self.page.wait_for_selector("#picture:not(.stale) img:not([hidden])")

    async def text(self, selector: str) -> str:
        """Return the text of an element."""
        return (await self.page.inner_text(selector)).strip()

    async def wait_for_text(self, selector: str, text: str) -> None:
        """Wait until an element contains a text."""
        await self.page.locator(selector).filter(has_text=text).first.wait_for()

    def watch(self) -> None:
        """Note requests to other hosts, exceptions and violations of the policy."""
        host = urlsplit(self.base).netloc

        def note_request(request: Request) -> None:
            parts = urlsplit(request.url)
            if parts.scheme in {"http", "https"} and parts.netloc != host:
                self.foreign.append(request.url)

        self.page.on("request", note_request)
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on(
            "console", lambda line: self.problems.append(line.text) if "Content Security Policy" in line.text else None
        )


@pytest.fixture(scope="session")
async def chromium() -> AsyncIterator[Browser]:
    """Debian's Chromium, once for all tests."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        await browser.close()


@pytest.fixture
async def context(chromium: Browser) -> AsyncIterator[BrowserContext]:
    """A profile of the browser without history."""
    context = await chromium.new_context(viewport={"width": 1280, "height": 800}, color_scheme="dark")
    context.set_default_timeout(60_000)
    yield context
    await context.close()


def harbor() -> NDArray[np.uint16]:
    """Return amplitudes (row, col) of a sea of 768 x 1024 pixels with three ships of 48 x 48 pixels."""
    pixels = sea(1024, 768, np.zeros((0, 2), dtype=int))
    for col, row in SHIPS:
        half = _SHIP_SIDE // 2
        pixels[row - half : row + half, col - half : col + half] = 4000
    return pixels


def count_ships(body: dict[str, Any]) -> int:
    """Return the number of ships in the picture of a chat, if the picture isn't reduced."""
    labels, count = ndimage.label(picture_of(body) > 250)
    return int((np.bincount(labels.ravel())[1:] > _SHIP_SIDE**2 // 2).sum()) if count else 0


def picture_of(body: dict[str, Any]) -> NDArray[np.uint8]:
    """Return the gray values (row, col) of the picture of a chat."""
    part = next(part for part in body["messages"][0]["content"] if part["type"] == "image_url")
    data = base64.b64decode(part["image_url"]["url"].partition(",")[2])
    return np.asarray(Image.open(io.BytesIO(data)).convert("L"))


def ship_counter(body: dict[str, Any]) -> str:
    """Answer as a model that sees every ship."""
    text, ships = str(body["messages"]), count_ships(body)
    if "Are there" in text:
        return "Yes" if ships else "No"
    return str(ships) if "How many" in text else "Ships on the sea."


def settings_for(s3: S3Server, worker: FakeWorker, **groups: Any) -> Settings:
    """Return the settings of a gateway in front of the store and the worker."""
    return Settings(
        worker=WorkerSettings(urls=(worker.url,)),
        s3=S3Settings(endpoint=s3.endpoint),
        survey=SurveySettings(database=Settings().survey.database, retry_timeout_s=5),
        **{"console": ConsoleSettings(scenes={HARBOR: QUESTION, PLAIN: ""}), **groups},
    )


@pytest.fixture
def scenes(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """The store with a placed scene and one without a place."""
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    s3.client().put_object(Bucket="scenes", Key="harbor.tif", Body=geotiff(harbor()))
    s3.client().put_object(Bucket="scenes", Key="plain.png", Body=PNG)
    return s3


@pytest.fixture
async def base(scenes: S3Server, worker: FakeWorker) -> AsyncIterator[str]:
    """Base URL of the gateway."""
    worker.says = ship_counter
    async with gateway(settings_for(scenes, worker)) as url:
        yield url


@pytest.fixture
async def console(base: str, context: BrowserContext) -> AsyncIterator[Console]:
    """The console in a new tab; at the end, it has reached no other host and broken no policy."""
    console = Console(await context.new_page(), base)
    console.watch()
    yield console
    assert console.foreign == []
    assert console.problems == []


@pytest.fixture
async def make_console(context: BrowserContext) -> Callable[[str], Awaitable[Console]]:
    """A function that opens the console of another gateway in a new tab."""

    async def make(base: str) -> Console:
        console = Console(await context.new_page(), base)
        console.watch()
        return console

    return make
