"""URLs that a rendering reads, in the form that access rules are compared with."""

from __future__ import annotations

import time

import pytest

from sarlens.errors import BadRequest
from sarlens.imagery.products.canonical_url import accessed_urls, canonical_url
from sarlens.imagery.service.image_service import ImageService
from sarlens.types.caller import ANONYMOUS
from sarlens.types.image_request import ImageRequest
from sarlens.types.render_params import RenderParams
from support.in_memory_store import InMemoryStore
from support.rendering import resolve_and_render
from support.sentinel1_safe import DUAL, SAFE, small_product


@pytest.mark.parametrize(
    ("image_request", "urls"),
    [
        (ImageRequest("s3://bucket/X.SAFE"), ("s3://bucket/X.SAFE/",)),
        (ImageRequest("s3://bucket/X.SAFE/manifest.safe"), ("s3://bucket/X.SAFE/",)),
        (ImageRequest("https://e.com:443/a/../X.SAFE"), ("https://e.com/X.SAFE/",)),
        (ImageRequest("s3://bucket/x/measurement/a.tiff"), ("s3://bucket/x/measurement/a.tiff",)),
        (
            ImageRequest("s3://bucket/x/measurement/a.tiff", RenderParams(calibration="sigma0")),
            ("s3://bucket/x/measurement/a.tiff", "s3://bucket/x/annotation/"),
        ),
        (ImageRequest("s3://bucket/port.tif", RenderParams(calibration="sigma0")), ("s3://bucket/port.tif",)),
        (ImageRequest(b"II*"), ("data:",)),
    ],
)
def test_accessed_urls(image_request: ImageRequest, urls: tuple[str, ...]) -> None:
    """A product counts as its folder, a calibrated measurement as itself and the annotation of its product."""
    assert accessed_urls(image_request) == urls


@pytest.mark.parametrize(
    ("url", "canonical"),
    [
        ("S3://bucket/two%20words.tif?versionId=7", "s3://bucket/two words.tif"),
        ("https://e.com/a/./b/../c.tif?token=1#top", "https://e.com/a/c.tif"),
        ("https://E.com:8443/a", "https://e.com:8443/a"),
        ("DATA:image/png;base64,AAAA", "data:"),
    ],
)
def test_a_url_has_one_canonical_form(url: str, canonical: str) -> None:
    """Case of scheme and host, percent-encoding, dot segments, query and fragment make no difference."""
    assert canonical_url(url) == canonical


@pytest.mark.parametrize(
    "url", ["", "port.tif", "ftp://e.com/a", "https://user@e.com/a", "https://[::1", "https://[]@"]
)
def test_other_urls_are_rejected(url: str) -> None:
    """A URL of another scheme, with a user or without a host has no canonical form."""
    with pytest.raises(BadRequest, match="must be an s3:, https: or data: URL"):
        canonical_url(url)


@pytest.mark.parametrize("url", ["s3://scenes/", "https://e.com/", "https://e.com/a.SAFE/"])
async def test_long_urls_are_not_parsed(url: str, image_service: ImageService) -> None:
    """A URL of 60 million percent-encoded characters is rejected at once, also if no key limits the images."""
    request = ImageRequest(url + "%41" * 20_000_000)
    started_at = time.process_time()
    with pytest.raises(BadRequest, match="characters; the limit is 8192"):
        accessed_urls(request)
    with pytest.raises(BadRequest, match="characters; the limit is 8192"):
        await image_service.resolve(request, 512, ANONYMOUS)
    assert time.process_time() - started_at < 0.05


async def test_opened_urls_are_among_the_accessed_urls(store: InMemoryStore, image_service: ImageService) -> None:
    """All files that a calibrated rendering opens are covered: measurement, three annotation files, and a manifest."""
    store.put_folder(SAFE, small_product(DUAL))
    measurement = next(url for url in store.objects if "/measurement/" in url and "-vv-" in url)
    render = RenderParams(calibration="gamma0")
    for location, files in ((SAFE, 5), (measurement, 4)):
        store.opened.clear()
        await resolve_and_render(image_service, ImageRequest(location, render), 448, ANONYMOUS)
        accessed = accessed_urls(ImageRequest(location, render))
        assert len(store.opened) == files
        for url in store.opened:
            assert any(url == prefix or (prefix.endswith("/") and url.startswith(prefix)) for prefix in accessed), url
