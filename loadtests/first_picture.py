"""Measure how soon the console shows something: ``first_picture.py [--url URL] [--repeats N]``.

It needs Debian's Chromium and a running stack with sample scenes, as `make serve` starts it. Each repeat is a browser
profile without history. Times are those of the page's own clock, from the start of the navigation or the click on a
sample. If the gateway has just started, the first repeat reads and renders each scene for the first time.
"""

from __future__ import annotations

import argparse
import os
from statistics import median

from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = "/usr/bin/chromium"
UNTIL = """
const until = (selector) => new Promise((resolve) => {
  const look = () => document.querySelector(selector) ? resolve(performance.now()) : requestAnimationFrame(look);
  look();
});
"""
PICTURE = "#picture:not(.stale) img:not([hidden])"
ANSWER = "#answers .result"


def main() -> None:
    """Print the milliseconds of each step: those of the first repeat, and the median of all."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--url", default="http://localhost:8080")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    times: dict[str, list[float]] = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for _ in range(arguments.repeats):
            for step, milliseconds in measure(browser, arguments.url).items():
                times.setdefault(step, []).append(milliseconds)
        browser.close()
    print(f"{arguments.repeats} repeats, load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print(f"{'milliseconds to':40} {'first':>6} {'median':>6}")
    for step, values in times.items():
        print(f"{step:40} {values[0]:6.0f} {median(values):6.0f}")


def measure(browser: Browser, url: str) -> dict[str, float]:
    """Return the milliseconds of each step in a new profile."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.goto(f"{url}/console")
    times = {"the first sample on the first screen": reached(page, "#samples img[src^=blob]")}
    names = page.locator("#samples strong").all_inner_texts()
    for index, name in enumerate(names):
        start = page.evaluate("performance.now()")
        page.evaluate(f"document.querySelectorAll('#samples button')[{index}].click()")
        times[f"the picture of {name}"] = reached(page, PICTURE) - start
        times[f"the answer about {name}"] = reached(page, ANSWER) - start
        page.go_back()
        page.wait_for_selector("#first:not([hidden])")
    context.close()
    return times


def reached(page: Page, selector: str) -> float:
    """Return the time at which the page has an element, in milliseconds since the navigation."""
    return float(page.evaluate(f"async () => {{ {UNTIL} return until({selector!r}); }}"))


if __name__ == "__main__":
    main()
