"""Paths of GDAL in place of URLs."""

from __future__ import annotations

from pathlib import Path

import pytest

from sarlens.client.errors import LocalImageError
from sarlens.client.image_input import to_image_url
from sarlens.errors import BadRequest, SourceNotAllowed
from sarlens.imagery.products.canonical_url import canonical_url
from sarlens.types.gdal_path import describe_gdal_path
from support.in_memory_store import InMemoryStore

PATHS = {
    "/vsis3/scenes/a/b.tif": "s3://scenes/a/b.tif",
    "/vsis3_streaming/scenes/b.tif": "s3://scenes/b.tif",
    "/vsicurl/https://host.org/b.tif": "https://host.org/b.tif",
    "/vsicurl/https://host.org/b.tif?X-Amz-Signature=secret": "https://host.org/b.tif",
    "/vsicurl?max_retry=3&url=https%3A%2F%2Fhost.org%2Fb.tif": "https://host.org/b.tif",
    "/vsizip//vsis3/scenes/x.zip/x.SAFE/manifest.safe": "s3://scenes/x.zip",
    "/vsizip/vsis3/scenes/x.zip": "s3://scenes/x.zip",
    "/vsizip/{/vsicurl/https://host.org/x.ZIP}/x.SAFE": "https://host.org/x.ZIP",
    "/vsizip/x.zip": "an s3://BUCKET/KEY or https: URL",
    "/vsicurl/http://host.org/b.tif": "an s3://BUCKET/KEY or https: URL",
    "/vsigs/scenes/a.tif": "an s3://BUCKET/KEY or https: URL",
    "/vsis3/scenes/" + "a" * 600: "an s3://BUCKET/KEY or https: URL",
    "/vsi": "an s3://BUCKET/KEY or https: URL",
}


@pytest.mark.parametrize(("path", "url"), PATHS.items())
async def test_a_path_of_gdal_is_rejected_with_the_url_to_use(path: str, url: str, store: InMemoryStore) -> None:
    """The access check, the sources and the client name the URL of the same object, without its query."""
    sentence = f"A path of GDAL isn't a URL. Use {url}"
    assert describe_gdal_path(path) == sentence
    with pytest.raises(BadRequest) as refused:
        canonical_url(path)
    assert refused.value.message == sentence
    with pytest.raises(SourceNotAllowed) as not_opened:
        await store.registry.open(path)
    assert not_opened.value.message == sentence
    with pytest.raises(LocalImageError) as not_sent:
        await to_image_url(Path(path), None)
    assert str(not_sent.value) == sentence


def test_other_texts_are_no_paths_of_gdal() -> None:
    """URLs and file names stay what they are."""
    assert [describe_gdal_path(text) for text in ("s3://a/vsis3/b", "/data/vsi.tif", "", "vsis3/a")] == [None] * 4
