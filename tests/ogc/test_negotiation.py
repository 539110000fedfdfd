"""Content negotiation of the OGC APIs: HTML pages and JSON."""

from __future__ import annotations

from ogc.client import call, submit_echo, wait_until_done

PATHS = ("/", "/conformance", "/processes", "/processes/vqa", "/jobs", "/collections", "/collections/answers")


async def test_every_resource_has_an_html_page(base: str) -> None:
    """With a browser's Accept header or f=html, each resource is HTML; f=json overrides the header."""
    job_id = await submit_echo(base, echoInput="hallo")
    await wait_until_done(base, job_id)
    browser = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    for path in (*(path for path in PATHS if path != "/"), f"/jobs/{job_id}", "/collections/answers/items"):
        status, _, headers = await call("GET", base + path, headers=browser)
        assert status == 200
        assert headers["content-type"].startswith("text/html")
        assert headers["content-security-policy"] == "default-src 'none'; style-src 'unsafe-inline'"
        assert (await call("GET", f"{base}{path}?f=html"))[2]["content-type"].startswith("text/html")
        assert isinstance((await call("GET", f"{base}{path}?f=json", headers=browser))[1], dict)


async def test_pages_escape_their_texts(base: str) -> None:
    """The page of an unknown parameter's job list and of a job have no markup from requests."""
    status, document, _ = await call("GET", f"{base}/processes?f=xml")
    assert (status, document["detail"]) == (400, "f must be html or json.")
    job_id = await submit_echo(base, echoInput="<script>alert(1)</script>")
    await wait_until_done(base, job_id)
    _, page, _ = await call("GET", f"{base}/jobs/{job_id}?f=html")
    assert "<script>" not in page
