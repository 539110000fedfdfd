"""The console for people who don't see it, or see little: axe-core, names, contrast and motion."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from console.conftest import HARBOR, QUESTION, Console

AXE = (Path(__file__).parent / "vendor/axe.min.js").read_text()
RUN = "axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']})"


async def violations(console: Console) -> list[tuple[str, str]]:
    """Return rule and element of each violation that axe-core finds."""
    await console.page.evaluate(f"() => {{ {AXE} }}")
    found: Any = await console.page.evaluate(RUN)
    return [(one["id"], node["html"][:160]) for one in found["violations"] for node in one["nodes"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_nothing(console: Console, scheme: Any) -> None:
    """axe-core finds no violation of WCAG 2.2 AA on the first screen, on a scene with answers, tiles and dialogs."""
    page = console.page
    await page.emulate_media(color_scheme=scheme)
    await page.goto(f"{console.base}/console")
    await page.wait_for_selector("#samples img[src^=blob]")
    assert await violations(console) == []
    await console.open(q=QUESTION, window="600,200,256,256")
    await page.press("#question", "Enter")
    await page.click("#answers .mark")
    await page.click("#plan-start")
    await console.wait_for_text("#survey-text", "tiles")
    await page.wait_for_selector("#survey-cancel", state="hidden")
    await page.press("#map", "]")
    await page.wait_for_selector("#tile:not([hidden])")
    assert await violations(console) == []
    await page.press("#map", "?")
    assert await violations(console) == []
    await page.keyboard.press("Escape")
    await page.goto(console.link(scene=f"{HARBOR}x"))
    await page.wait_for_selector("#alert:not([hidden])")
    assert await violations(console) == []


async def test_motion_is_reduced(console: Console) -> None:
    """With reduced motion, no element of the page has a transition."""
    await console.page.emulate_media(reduced_motion="reduce")
    await console.open()
    moving = (
        "[...document.querySelectorAll('*')].filter(one => getComputedStyle(one).transitionDuration !== '0s').length"
    )
    assert await console.page.evaluate(moving) == 0
