"""Stores that misbehave."""

from __future__ import annotations

import asyncio
import time

import pytest

from sarlens.errors import (
    AccessDenied,
    SarlensError,
    SourceChanged,
    SourceUnavailable,
    StoreCredentials,
)
from sarlens.imagery.cache import ByteLRU
from sarlens.imagery.s3 import BLOCK, S3
from sarlens.imagery.s3_account import Account
from stack.canned import canned, http
from stack.overheard import overheard

DATE = "Last-Modified: Mon, 23 Nov 2026 22:27:41 GMT"
FIRST = http(206, bytes(BLOCK), [f"Content-Range: bytes 0-{BLOCK - 1}/{3 * BLOCK}", 'ETag: "one"', DATE])
RANGE = f"Content-Range: bytes {BLOCK}-{2 * BLOCK - 1}/{3 * BLOCK}"


def store(port: int) -> S3:
    """A store on this machine that asks for no keys."""
    account = Account(endpoint=f"http://127.0.0.1:{port}", anonymous=True, timeout_s=3)
    return S3(account, ByteLRU(2**20, weigh=len), timeout_s=3)


def xml(code: str) -> bytes:
    """The body of a refusal, as wordy as AWS is about a signature."""
    return f"<Error><Code>{code}</Code><StringToSign>secret-word</StringToSign></Error>".encode()


@pytest.mark.parametrize(
    ("answer", "kind", "reason"),
    [
        (http(301), SourceUnavailable, "another region"),
        (http(301, xml("PermanentRedirect")), SourceUnavailable, "another region"),
        (http(400, xml("AuthorizationHeaderMalformed")), SourceUnavailable, "another region"),
        (http(400, xml("ExpiredToken")), StoreCredentials, "expired"),
        (http(403, xml("RequestTimeTooSkewed")), StoreCredentials, "clocks"),
        (http(403, xml("InvalidObjectState")), AccessDenied, "archived"),
        (http(403), AccessDenied, "refuses"),
        (http(401), StoreCredentials, "credentials"),
        (http(418, xml("Teapot")), SourceUnavailable, "an error"),
        (http(503, xml("SlowDown")), SourceUnavailable, "an error"),
        (http(206, b"abcd", ["Content-Range: bytes 0-3/4", DATE]), SourceUnavailable, "no ETag"),
        (http(206, b"abcd", ["Content-Range: bytes 0-3/4", 'ETag: "one"', DATE], length=9), SourceUnavailable, "broke"),
        (http(200, b"abcd", ['ETag: "one"', DATE]), SourceUnavailable, "cannot be reached, or broke off"),
        (b"nonsense\r\n\r\n", SourceUnavailable, "cannot be reached, or broke off"),
    ],
)
async def test_a_store_that_misbehaves_is_understood(answer: bytes, kind: type[SarlensError], reason: str) -> None:
    """Whatever a store answers becomes one error of the tree, soon, and none of its words are passed on."""
    begun = time.monotonic()
    async with canned(answer) as server:
        with pytest.raises(kind, match=reason) as failed:
            await store(server.port).open("s3://scenes/port.tif")
    assert type(failed.value) is kind
    assert time.monotonic() - begun < 3
    assert len(server.asked) <= 3
    words = overheard(failed.value)
    assert [word for word in ("secret-word", "127.0.0.1", "<Error>") if word in words] == []


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (http(206, bytes(BLOCK), [RANGE, 'ETag: "two"', DATE]), SourceChanged),
        (http(412, xml("PreconditionFailed")), SourceChanged),
        (http(206, bytes(BLOCK), [RANGE, 'ETag: "one"', DATE], length=2 * BLOCK), SourceUnavailable),
        (http(500, xml("InternalError")), SourceUnavailable),
    ],
)
async def test_a_read_is_never_of_another_version(answer: bytes, kind: type[SarlensError]) -> None:
    """A store that does not know If-Match, or breaks off, cannot slip in bytes of another version."""
    async with canned(FIRST, answer) as server:
        blob = await store(server.port).open("s3://scenes/port.tif")
        with pytest.raises(kind) as failed:
            await asyncio.to_thread(blob.read, BLOCK, 10)
        assert 'if-match: "one"' in server.asked[1].lower()
    assert type(failed.value) is kind
    assert "secret-word" not in overheard(failed.value)
