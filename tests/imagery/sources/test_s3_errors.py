"""Error responses and faulty responses of S3 stores."""

from __future__ import annotations

import asyncio
import time

import pytest

from sarlens.errors import (
    AccessDenied,
    SarlensError,
    SourceChanged,
    SourceThrottled,
    SourceUnavailable,
    StoreCredentials,
)
from sarlens.imagery.core.cache import LRUCache
from sarlens.imagery.sources.block_object import BLOCK
from sarlens.imagery.sources.s3 import S3Source
from sarlens.imagery.sources.s3_credentials import S3StoreFactory
from support.canned_http_server import canned, http
from support.exception_text import exception_text

DATE = "Last-Modified: Mon, 23 Nov 2026 22:27:41 GMT"
FIRST = http(206, bytes(BLOCK), [f"Content-Range: bytes 0-{BLOCK - 1}/{3 * BLOCK}", 'ETag: "one"', DATE])
RANGE = f"Content-Range: bytes {BLOCK}-{2 * BLOCK - 1}/{3 * BLOCK}"


def s3_source(port: int) -> S3Source:
    """A source for a store on this machine, without credentials."""
    stores = S3StoreFactory(endpoint=f"http://127.0.0.1:{port}", anonymous=True, timeout_s=3)
    return S3Source(stores, LRUCache(2**20, getsizeof=len), timeout_s=3)


def xml_error(code: str) -> bytes:
    """The body of an error response, with the text that AWS adds about a signature."""
    return f"<Error><Code>{code}</Code><StringToSign>secret-word</StringToSign></Error>".encode()


@pytest.mark.parametrize(
    ("response", "error_cls", "reason"),
    [
        (http(301), SourceUnavailable, "another region"),
        (http(301, xml_error("PermanentRedirect")), SourceUnavailable, "another region"),
        (http(400, xml_error("AuthorizationHeaderMalformed")), SourceUnavailable, "another region"),
        (http(400, xml_error("ExpiredToken")), StoreCredentials, "expired"),
        (http(403, xml_error("RequestTimeTooSkewed")), StoreCredentials, "clocks"),
        (http(403, xml_error("InvalidObjectState")), AccessDenied, "archived"),
        (http(403), AccessDenied, "denies"),
        (http(401), StoreCredentials, "credentials"),
        (http(418, xml_error("Teapot")), SourceUnavailable, "an error"),
        (http(503, xml_error("SlowDown")), SourceThrottled, "limits the rate of requests"),
        (http(503, xml_error("ServiceUnavailable")), SourceThrottled, "limits the rate of requests"),
        (http(429), SourceThrottled, "limits the rate of requests"),
        (http(503, b"<html>busy</html>"), SourceThrottled, "limits the rate of requests"),
        (http(500, xml_error("InternalError")), SourceUnavailable, "an error"),
        (http(206, b"abcd", ["Content-Range: bytes 0-3/4", DATE]), SourceUnavailable, "no ETag"),
        (
            http(206, b"abcd", ["Content-Range: bytes 0-3/4", 'ETag: "one"', DATE], length=9),
            SourceUnavailable,
            "closed",
        ),
        (http(200, b"abcd", ['ETag: "one"', DATE]), SourceUnavailable, "unreachable or closed the connection"),
        (b"nonsense\r\n\r\n", SourceUnavailable, "unreachable or closed the connection"),
    ],
)
async def test_faulty_responses_are_mapped(response: bytes, error_cls: type[SarlensError], reason: str) -> None:
    """Each response becomes one error of the error tree within 3 s, without the store's own words."""
    started_at = time.monotonic()
    async with canned(response) as server:
        with pytest.raises(error_cls, match=reason) as failed:
            await s3_source(server.port).open("s3://scenes/port.tif")
    assert type(failed.value) is error_cls
    assert time.monotonic() - started_at < 3
    assert len(server.asked) <= 3
    if error_cls is SourceThrottled:
        assert (failed.value.status, failed.value.code, failed.value.retry_after) == (503, "source_throttled", 5)
        assert len(server.asked) == 3
    text = exception_text(failed.value)
    assert [word for word in ("secret-word", "127.0.0.1", "<Error>") if word in text] == []


@pytest.mark.parametrize(
    ("response", "error_cls"),
    [
        (http(206, bytes(BLOCK), [RANGE, 'ETag: "two"', DATE]), SourceChanged),
        (http(412, xml_error("PreconditionFailed")), SourceChanged),
        (http(206, bytes(BLOCK), [RANGE, 'ETag: "one"', DATE], length=2 * BLOCK), SourceUnavailable),
        (http(500, xml_error("InternalError")), SourceUnavailable),
    ],
)
async def test_a_read_never_returns_another_version(response: bytes, error_cls: type[SarlensError]) -> None:
    """A store that ignores If-Match or closes the connection can't add bytes of another version."""
    async with canned(FIRST, response) as server:
        reader = await s3_source(server.port).open("s3://scenes/port.tif")
        with pytest.raises(error_cls) as failed:
            await asyncio.to_thread(reader.read, BLOCK, 10)
        assert 'if-match: "one"' in server.asked[1].lower()
    assert type(failed.value) is error_cls
    assert "secret-word" not in exception_text(failed.value)
