"""The files of the console: headers, caching, weight, and what leads to them."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from sarlens.api.console.files import STATIC, built_files
from sarlens.settings import ConsoleSettings, Settings, WorkerSettings
from support.gateway import gateway
from support.workers.fake_worker import FakeWorker

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """A client that doesn't decompress and doesn't follow redirects by itself."""
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        yield session


async def get(http: aiohttp.ClientSession, url: str, **headers: str) -> tuple[int, bytes, Any]:
    """Status, body and headers of a response, without a redirect."""
    async with http.get(url, headers={"Accept-Encoding": "identity", **headers}, allow_redirects=False) as response:
        return response.status, await response.read(), response.headers


async def test_the_page_allows_no_inline_code_and_no_other_host(url: str, http: aiohttp.ClientSession) -> None:
    """The page and its files have a policy without unsafe-inline, nosniff, and no referrer."""
    for path in ("/console", "/console/console.js", "/console/console.css"):
        status, _, headers = await get(http, url + path)
        assert (status, headers["Content-Security-Policy"]) == (200, POLICY)
        assert (headers["X-Content-Type-Options"], headers["Referrer-Policy"]) == ("nosniff", "no-referrer")
    page = (await get(http, url + "/console"))[1].decode()
    assert "<style" not in page
    assert " style=" not in page
    assert "<script src=" in page


async def test_files_are_compressed_and_revalidated(url: str, http: aiohttp.ClientSession) -> None:
    """A file comes as gzip or plain, as the client accepts; with its ETag, the response is 304 without a body."""
    path = f"{url}/console/console.js"
    data = (STATIC / "console/console.js").read_bytes()
    status, plain, headers = await get(http, path, **{"Accept-Encoding": "identity"})
    assert (status, plain, headers["Vary"]) == (200, data, "Accept-Encoding")
    assert "Content-Encoding" not in headers
    _, packed, headers = await get(http, path, **{"Accept-Encoding": "gzip, br"})
    assert (headers["Content-Encoding"], gzip.decompress(packed)) == ("gzip", data)
    status, body, again = await get(http, path, **{"If-None-Match": headers["ETag"]})
    assert (status, body, again["ETag"]) == (304, b"", headers["ETag"])


async def test_the_console_weighs_less_than_400_kb(url: str, http: aiohttp.ClientSession) -> None:
    """All that the console loads, its map data included, has less than 400 kB compressed."""
    names = [name for name in built_files() if name.startswith("console/") and not name.endswith(".txt")]
    sizes = {}
    for name in names:
        path = "console" if name == "console/index.html" else name
        sizes[name] = len((await get(http, f"{url}/{path}", **{"Accept-Encoding": "gzip"}))[1])
    assert {"console/index.html", "console/console.js", "console/console.css", "console/land-110m.json"} <= set(sizes)
    assert sum(sizes.values()) < 400_000


@pytest.mark.parametrize(
    "name", ["nothing.js", "..%2F..%2Fpages.py", "%2e%2e%2f%2e%2e%2f__init__.py", "LICENSES.txt%00"]
)
async def test_only_built_files_are_served(url: str, http: aiohttp.ClientSession, name: str) -> None:
    """A name that isn't one of the built files is 404, and no name leads out of their folder."""
    status, _, _ = await get(http, f"{url}/console/{name}")
    assert status == 404


async def test_a_browser_is_led_to_the_console(url: str, http: aiohttp.ClientSession) -> None:
    """`/` redirects a client that prefers HTML, answers JSON to others, and has its HTML at ?f=html."""
    status, _, headers = await get(http, f"{url}/", Accept="text/html,application/xhtml+xml,*/*;q=0.8")
    assert (status, headers["Location"]) == (303, "console")
    for accept in ("*/*", "application/json"):
        status, _, headers = await get(http, f"{url}/", Accept=accept)
        assert (status, headers["Content-Type"], headers["Vary"]) == (200, "application/json", "Accept")
    status, page, headers = await get(http, f"{url}/?f=html", Accept="text/html")
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert b"Conformance" in page


async def test_a_basemap_is_the_only_other_host(worker: FakeWorker, http: aiohttp.ClientSession) -> None:
    """The host of the basemap setting is in img-src and nowhere else, and the page gets URL and attribution."""
    basemap = "https://tiles.example.com/{z}/{x}/{y}.png"
    console = ConsoleSettings(basemap_url=basemap, basemap_attribution="© Example")
    async with gateway(Settings(worker=WorkerSettings(urls=(worker.url,)), console=console)) as url:
        _, _, headers = await get(http, f"{url}/console")
        assert headers["Content-Security-Policy"] == POLICY.replace("data:", "data: https://tiles.example.com")
        async with http.get(f"{url}/console/config.json", headers={"Accept-Encoding": "identity"}) as response:
            assert await response.json() == {
                "scenes": {},
                "basemap": {"url": basemap, "attribution": "© Example"},
            }


@pytest.mark.parametrize(
    "url",
    ["https://user:secret@host/{z}/{x}/{y}", "https://a;script-src *//{z}/{x}/{y}", "https://host/{z}/{x}", "s3://b"],
)
def test_a_basemap_cannot_change_the_policy(url: str) -> None:
    """A basemap URL with credentials, with other characters in its host, or without {z}, {x} and {y} is rejected."""
    with pytest.raises(ValueError, match="must"):
        ConsoleSettings(basemap_url=url)
