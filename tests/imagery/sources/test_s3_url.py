"""`s3://` URLs."""

from __future__ import annotations

from contextlib import suppress
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarlens.errors import BadRequest
from sarlens.imagery.sources.s3_url import S3Url


@pytest.mark.parametrize(
    ("url", "bucket", "key", "version"),
    [
        ("s3://scenes/port.tif", "scenes", "port.tif", None),
        ("S3://scenes/a/b/c.tif", "scenes", "a/b/c.tif", None),
        ("s3://my.own-bucket.1/k", "my.own-bucket.1", "k", None),
        ("s3://scenes/port.tif?versionId=v-1", "scenes", "port.tif", "v-1"),
        ("s3://scenes/port.tif?versionId=a%2Fb+c=", "scenes", "port.tif", "a/b+c="),
        ("s3://scenes/two words.tif", "scenes", "two words.tif", None),
        ("s3://scenes/two%20words+1.tif", "scenes", "two words+1.tif", None),
        ("s3://scenes/%23%3F%25%2F.tif", "scenes", "#?%/.tif", None),
        ("s3://scenes/Göteborg/東京.tif", "scenes", "Göteborg/東京.tif", None),
        ("s3://scenes/G%C3%B6teborg", "scenes", "Göteborg", None),
        ("s3://scenes/..tif/...", "scenes", "..tif/...", None),
    ],
)
def test_a_url_has_bucket_key_and_version(url: str, bucket: str, key: str, version: str | None) -> None:
    """A key is percent-decoded once, as UTF-8, and `versionId` is the only query."""
    assert S3Url.parse(url) == S3Url(bucket, key, version)


@pytest.mark.parametrize(
    "url",
    [
        "s3:",
        "s3://",
        "s3:/scenes/port.tif",
        "s3://scenes",
        "s3://scenes/",
        "s3:///port.tif",
        "s3://Scenes/port.tif",
        "s3://ab/port.tif",
        "s3://a..b/port.tif",
        "s3://-ab-/port.tif",
        "s3://user:secret@scenes/port.tif",
        "s3://scenes:9000/port.tif",
        "s3://scenes//port.tif",
        "s3://scenes/a//b",
        "s3://scenes/folder/",
        "s3://scenes/../other/port.tif",
        "s3://scenes/%2e%2e/other/port.tif",
        "s3://scenes/a/./b",
        "s3://scenes/port.tif#page",
        "s3://scenes/port.tif?",
        "s3://scenes/port.tif?versionId=",
        "s3://scenes/port.tif?versionid=1",
        "s3://scenes/port.tif?versionId=1&partNumber=2",
        "s3://scenes/port.tif?X-Amz-Signature=secret",
        "s3://scenes/50%",
        "s3://scenes/%zz",
        "s3://scenes/%ff",
        "s3://scenes/\ud800",
        "s3://scenes/line\nbreak",
        "s3://scenes/%00",
        "s3://scenes/" + "ö" * 513,
        "s3://scenes/" + "%41" * 20 * 2**20,
    ],
)
def test_an_invalid_url_is_rejected(url: str) -> None:
    """A URL that is ambiguous or leaves its bucket is rejected in one sentence without its query."""
    with pytest.raises(BadRequest) as rejected:
        S3Url.parse(url)
    assert "secret" not in rejected.value.message
    assert rejected.value.message.endswith(".")


PART = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/"), min_size=1, max_size=60)


@given(st.lists(PART.filter(lambda part: part not in {".", ".."}), min_size=1, max_size=4))
def test_any_key_can_be_encoded(parts: list[str]) -> None:
    """A key of any script survives percent-encoding and parsing."""
    key = "/".join(parts)
    assert S3Url.parse(f"s3://scenes/{quote(key)}").key == key


@given(st.text(), st.sampled_from(["", "s3://", "s3://scenes/", "s3://scenes/k?versionId="]))
def test_any_text_is_parsed_or_rejected(text: str, prefix: str) -> None:
    """Any text is parsed or rejected, and a parsed key stays inside its bucket."""
    with suppress(BadRequest):
        s3_url = S3Url.parse(prefix + text)
        assert s3_url.bucket
        assert {"", ".", ".."}.isdisjoint(s3_url.key.split("/"))
        assert min(str(s3_url) + (s3_url.version or "x")) >= " "
