"""Images on the web, from real TLS servers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from blake3 import blake3

from sarlens.errors import (
    AccessDenied,
    BadRequest,
    ImageNotFound,
    PayloadTooLarge,
    PermissionDenied,
    SarlensError,
    SourceNotAllowed,
    SourceThrottled,
    SourceUnavailable,
    Timeout,
)
from sarlens.imagery.core.cache import LRUCache
from sarlens.imagery.sources.https import _RETRY_PAUSES_S, HttpsSource, open_https
from support.canned_http_server import CannedServer, canned, http
from support.exception_text import exception_text
from support.fake_resolver import FakeResolver
from support.tls import Tls, tls

SECRET = "secret-word"
IMAGE = bytes(range(256)) * 8
FOUND = http(200, IMAGE, ['ETag: "one"'])
HOME = {"images.test": [["127.0.0.1"]], "other.test": [["127.0.0.1"]]}


@pytest.fixture(scope="module")
def trust(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    """A certificate for the hosts of these tests."""
    return tls(tmp_path_factory.mktemp("tls"), "images.test", "other.test", "localhost")


def https_source(
    trust: Tls, *servers: CannedServer, names: Mapping[str, Sequence[Sequence[str]]] = HOME, timeout_s: float = 5.0
) -> AbstractAsyncContextManager[HttpsSource]:
    """A source that allows two hosts on the ports of these servers, on loopback addresses in place of the internet."""
    hosts = [f"{host}:{server.port}" for server in servers for host in ("images.test", "other.test")]
    return open_https(
        LRUCache(2**20, getsizeof=len),
        hosts=hosts,
        max_bytes=4096,
        timeout_s=timeout_s,
        resolver=FakeResolver(names),
        allows=lambda address: address == "127.0.0.1",
        tls=trust.client,
    )


async def test_an_image_is_downloaded(trust: Tls) -> None:
    """An image of an allowed host is read whole; its name has no query, and no cookie or login is sent."""
    async with canned(FOUND, tls=trust.server) as server, https_source(trust, server) as https:
        reader = await https.open(f"https://images.test:{server.port}/a%20b/port.png?token={SECRET}&x=%2F#top")
    assert reader.read(0, reader.size) == IMAGE
    assert reader.read(250, 10) == IMAGE[250:260]
    assert reader.name == f"https://images.test:{server.port}/a%20b/port.png"
    assert reader.version == f"blake3:{blake3(IMAGE).hexdigest()}"
    assert reader.bytes_fetched == len(IMAGE)
    (request,) = server.asked
    assert request.startswith(f"GET /a%20b/port.png?token={SECRET}&x=")
    assert "accept-encoding: identity" in request.lower()
    assert "cookie" not in request.lower()
    assert "authorization" not in request.lower()


async def test_an_unchanged_image_is_revalidated(trust: Tls) -> None:
    """A cached image is requested with its ETag: unchanged it fetches no bytes, changed it has another version."""
    changed = http(200, b"new", ['ETag: "two"', "Set-Cookie: a=b"])
    async with (
        canned(FOUND, http(304), changed, http(304), tls=trust.server) as server,
        https_source(trust, server) as https,
    ):
        url = f"https://images.test:{server.port}/port.png"
        first, second, third, fourth = [await https.open(url) for _ in range(4)]
    assert (second.bytes_fetched, second.version, second.read(0, 9999)) == (0, first.version, IMAGE)
    assert (third.read(0, 9), fourth.read(0, 9)) == (b"new", b"new")
    assert third.version != first.version
    conditions = [line for request in server.asked for line in request.splitlines() if line.lower().startswith("if-")]
    assert conditions == ['If-None-Match: "one"', 'If-None-Match: "one"', 'If-None-Match: "two"']
    assert not any("cookie" in request.lower() for request in server.asked)


async def test_an_image_without_an_etag_is_downloaded_each_time(trust: Tls) -> None:
    """An image that can't be revalidated is downloaded again."""
    async with (
        canned(http(200, b"old"), http(200, b"new"), tls=trust.server) as server,
        https_source(trust, server) as https,
    ):
        url = f"https://images.test:{server.port}/port.png"
        assert [(await https.open(url)).read(0, 3) for _ in range(2)] == [b"old", b"new"]


async def test_concurrent_callers_share_one_download(trust: Tls) -> None:
    """Twenty callers of one URL cost its host one request."""
    async with canned(FOUND, tls=trust.server) as server, https_source(trust, server) as https:
        url = f"https://images.test:{server.port}/port.png"
        readers = await asyncio.gather(*(https.open(url) for _ in range(20)))
    assert len(server.asked) == 1
    assert sum(reader.bytes_fetched for reader in readers) == len(IMAGE)


CHUNK = b"400\r\n" + bytes(0x400) + b"\r\n"
STREAMED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("response", "error_cls", "reason"),
    [
        (http(200, length=4097), PayloadTooLarge, "4096 bytes"),
        (STREAMED + CHUNK * 5 + b"0\r\n\r\n", PayloadTooLarge, "4096 bytes"),
        (STREAMED + CHUNK * 3, SourceUnavailable, "closed the connection"),
        (http(200, IMAGE, length=4000), SourceUnavailable, "closed the connection"),
        (http(200, IMAGE, ["Content-Encoding: gzip"]), SourceUnavailable, "compressed"),
        (http(200, IMAGE, ["Content-Length: 5"]), SourceUnavailable, "closed the connection"),
        (http(204), SourceUnavailable, "status 204"),
        (http(206, IMAGE), SourceUnavailable, "status 206"),
        (http(304), SourceUnavailable, "status 304"),
        (http(401), AccessDenied, "authentication"),
        (http(403), AccessDenied, "denies"),
        (http(404), ImageNotFound, "doesn't exist"),
        (http(410), ImageNotFound, "deleted"),
        (http(500), SourceUnavailable, "status 500"),
        (http(504), Timeout, "timed out"),
        (http(302), SourceUnavailable, "redirects"),
        (http(302, headers=["Location: http://images.test/"]), SourceNotAllowed, "http:"),
        (http(302, headers=["Location: file:///etc/passwd"]), BadRequest, "https://"),
        (http(302, headers=["Location: https://elsewhere.test/"]), SourceNotAllowed, "elsewhere.test"),
        (http(302, headers=["Location: https://127.0.0.1/"]), SourceNotAllowed, "127.0.0.1"),
        (http(302, headers=["Location: https://[::1"]), BadRequest, "https://"),
        (http(302, headers=["Location: https://user:pw@images.test/"]), BadRequest, "user and password"),
        (b"nonsense\r\n\r\n", SourceUnavailable, "closed the connection"),
        (b"", SourceUnavailable, "closed the connection"),
    ],
)
async def test_faulty_responses_are_mapped(
    trust: Tls, response: bytes, error_cls: type[SarlensError], reason: str
) -> None:
    """Each faulty response becomes one error of the error tree, and the query of the URL reaches no log."""
    async with canned(response, tls=trust.server) as server, https_source(trust, server) as https:
        with pytest.raises(error_cls, match=reason) as failed:
            await https.open(f"https://images.test:{server.port}/port.png?token={SECRET}")
    assert type(failed.value) is error_cls
    assert SECRET not in exception_text(failed.value)


async def test_a_body_of_the_limit_is_read(trust: Tls) -> None:
    """A body of exactly the limit is read, with a declared length and as a stream."""
    responses = http(200, bytes(4096)), STREAMED + CHUNK * 4 + b"0\r\n\r\n"
    async with canned(*responses, tls=trust.server) as server, https_source(trust, server) as https:
        for path in ("announced", "streamed"):
            assert (await https.open(f"https://images.test:{server.port}/{path}")).size == 4096


async def test_three_redirects_are_followed(trust: Tls) -> None:
    """Three redirects among allowed hosts are followed, relative or absolute; a fourth is rejected."""
    hops = [http(301, headers=["Location: /b"]), http(307, headers=["Location: ../c?x=1"])]
    async with canned(FOUND, tls=trust.server) as other:
        far = http(302, headers=[f"Location: https://other.test:{other.port}/d"])
        async with canned(*hops, far, tls=trust.server) as server, https_source(trust, server, other) as https:
            assert (await https.open(f"https://images.test:{server.port}/a/a")).size == len(IMAGE)
            paths = [request.split(" ")[1] for request in (*server.asked, *other.asked)]
            assert paths == ["/a/a", "/b", "/c?x=1", "/d"]
    async with (
        canned(http(302, headers=["Location: /again"]), tls=trust.server) as server,
        https_source(trust, server) as https,
    ):
        with pytest.raises(SourceUnavailable, match="more than 3 times"):
            await https.open(f"https://images.test:{server.port}/again")
        assert len(server.asked) == 4


async def test_a_redirect_stays_within_the_rights_of_the_caller(trust: Tls) -> None:
    """A redirect past the prefix of a key is rejected before its request, in each of three hops and for each caller."""
    async with canned(FOUND, tls=trust.server) as other:
        port = other.port
        far = http(302, headers=[f"Location: https://other.test:{port}/private/port.png"])
        dots = http(302, headers=["Location: /open/../private/port.png"])
        encoded = http(302, headers=["Location: /open/%2e%2e/private/port.png"])
        for hop in (far, dots, encoded):
            async with (
                canned(http(302, headers=["Location: /open/b"]), hop, tls=trust.server) as server,
                https_source(trust, server, other) as https,
            ):

                def can_read(url: str, prefix: str = f"https://images.test:{server.port}/open/") -> bool:
                    return url.startswith(prefix)

                url = f"https://images.test:{server.port}/open/a"
                with pytest.raises(PermissionDenied, match="redirects to a URL that this API key doesn't allow"):
                    await https.open(url, can_read)
                assert (len(server.asked), other.asked) == (2, [])
        hop = http(302, headers=["Location: /open/b"])
        async with canned(hop, hop, FOUND, tls=trust.server) as server, https_source(trust, server) as https:
            url = f"https://images.test:{server.port}/open/a"
            allowed, denied = await asyncio.gather(
                https.open(url), https.open(url, lambda _: False), return_exceptions=True
            )
        assert isinstance(denied, PermissionDenied)
        assert not isinstance(allowed, BaseException)


async def test_a_slow_host_leaves_connections_to_others(trust: Tls) -> None:
    """Of 120 downloads from a host that doesn't answer, 25 have a connection, and another host's image is read."""
    async with (
        canned(b"", tls=trust.server, lingers=True) as slow,
        canned(FOUND, tls=trust.server) as fast,
        https_source(trust, slow, fast, timeout_s=30) as https,
    ):
        urls = (f"https://images.test:{slow.port}/{number}" for number in range(120))
        callers = [asyncio.create_task(https.open(url)) for url in urls]
        async with asyncio.timeout(20):
            while len(slow.asked) < 25:
                await asyncio.sleep(0.005)
            assert (await https.open(f"https://other.test:{fast.port}/")).size == len(IMAGE)
        assert len(slow.asked) == 25
        for caller in callers:
            caller.cancel()
        await asyncio.gather(*callers, return_exceptions=True)


@pytest.mark.parametrize("status", [429, 503])
async def test_a_throttling_host_is_asked_again(trust: Tls, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that throttles gets two retries unless it requires a longer pause, and the error has its delay."""
    assert _RETRY_PAUSES_S == (0.25, 1.0)
    monkeypatch.setattr("sarlens.imagery.sources.https._RETRY_PAUSES_S", (0.01, 0.01))
    busy, soon = http(status), http(status, headers=["Retry-After: 1"])
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    url = "https://images.test:{}/port.png"
    async with canned(busy, busy, FOUND, tls=trust.server) as server, https_source(trust, server) as https:
        assert (await https.open(url.format(server.port))).size == len(IMAGE)
        assert len(server.asked) == 3
    for response, asked, delays in (
        (busy, 3, {5}),
        (soon, 1, {1}),
        (http(status, headers=["Retry-After: 7"]), 1, {7}),
        (http(status, headers=["Retry-After: 99999999999"]), 1, {600}),
        (http(status, headers=[f"Retry-After: {date}"]), 1, {88, 89, 90}),
        (http(status, headers=["Retry-After: tomorrow"]), 3, {5}),
    ):
        async with canned(response, tls=trust.server) as server, https_source(trust, server) as https:
            with pytest.raises(SourceThrottled) as failed:
                await https.open(url.format(server.port))
        assert (len(server.asked), failed.value.status) == (asked, 503)
        assert failed.value.retry_after in delays


async def test_a_redirect_to_the_private_network_is_rejected(trust: Tls) -> None:
    """A redirect to a host with a private address is rejected before a connection is opened."""
    names = {"images.test": [["127.0.0.1"]], "other.test": [["127.0.0.2"]]}
    async with canned(FOUND, tls=trust.server) as inside:
        far = http(302, headers=[f"Location: https://other.test:{inside.port}/"])
        async with canned(far, tls=trust.server) as server, https_source(trust, server, inside, names=names) as https:
            with pytest.raises(SourceNotAllowed, match="private network"):
                await https.open(f"https://images.test:{server.port}/")
        assert (len(server.asked), inside.asked) == (1, [])


async def test_dns_rebinding_is_rejected(trust: Tls) -> None:
    """A host whose address is public at first and private later is rejected at the second connection."""
    names = {"images.test": [["127.0.0.1"], ["127.0.0.2"]]}
    async with canned(http(200, IMAGE), tls=trust.server) as server, https_source(trust, server, names=names) as https:
        url = f"https://images.test:{server.port}/port.png"
        assert (await https.open(url)).size == len(IMAGE)
        with pytest.raises(SourceNotAllowed, match="private network"):
            await https.open(url)
        assert len(server.asked) == 1


async def test_loopback_is_rejected_by_default(trust: Tls) -> None:
    """By default, an allowed host with a loopback address is rejected before a connection is opened."""
    async with (
        canned(FOUND, tls=trust.server) as server,
        open_https(
            LRUCache(0, getsizeof=len), hosts=[f"localhost:{server.port}"], max_bytes=4096, tls=trust.client
        ) as https,
    ):
        with pytest.raises(SourceNotAllowed, match="private network"):
            await https.open(f"https://localhost:{server.port}/")
    assert server.asked == []


@pytest.mark.parametrize(
    ("url", "error_cls"),
    [
        ("https://", BadRequest),
        ("https:///port.png", BadRequest),
        ("https://[::1/", BadRequest),
        ("https://[]@", BadRequest),
        ("https://images.test:99999/", BadRequest),
        ("https://images.test:port/", BadRequest),
        ("https://user:secret-word@images.test/", BadRequest),
        ("https://user@images.test/", BadRequest),
        ("https://images.test/" + "x" * 8192, BadRequest),
        ("https://images.test/", SourceNotAllowed),
        ("https://images.test:{port}@evil.test/", BadRequest),
        ("https://evil.test:{port}/", SourceNotAllowed),
        ("https://evil.test:{port}/#images.test", SourceNotAllowed),
        ("https://evil.test:{port}\\@images.test/", BadRequest),
        ("https://127.0.0.1:{port}/", SourceNotAllowed),
        ("https://[::1]:{port}/", SourceNotAllowed),
        ("https://2130706433:{port}/", SourceNotAllowed),
        ("https://images.test.:{port}/", SourceNotAllowed),
        ("http://images.test:{port}/", SourceNotAllowed),
        ("/port.png", BadRequest),
    ],
)
async def test_other_urls_are_rejected_before_any_lookup(trust: Tls, url: str, error_cls: type[SarlensError]) -> None:
    """A URL that isn't https: on an allowed host and port is rejected before any request."""
    async with canned(FOUND, tls=trust.server) as server, https_source(trust, server) as https:
        with pytest.raises(error_cls) as rejected:
            await https.open(url.format(port=server.port))
    assert type(rejected.value) is error_cls
    assert server.asked == []
    assert SECRET not in exception_text(rejected.value)


async def test_an_untrusted_certificate_is_rejected(trust: Tls, tmp_path: Path) -> None:
    """A server whose certificate isn't trusted, or is for another name, gets no request."""
    untrusted = await asyncio.to_thread(tls, tmp_path, "images.test")
    for server_tls, host in ((untrusted.server, "images.test"), (trust.server, "third.test")):
        async with (
            canned(FOUND, tls=server_tls) as server,
            open_https(
                LRUCache(0, getsizeof=len),
                hosts=[f"{host}:{server.port}"],
                max_bytes=4096,
                resolver=FakeResolver({host: [["127.0.0.1"]]}),
                allows=lambda address: True,
                tls=trust.client,
            ) as https,
        ):
            with pytest.raises(SourceUnavailable, match="certificate"):
                await https.open(f"https://{host}:{server.port}/?token={SECRET}")
        assert server.asked == []


async def test_an_unreachable_host_is_unavailable(trust: Tls) -> None:
    """An unknown name and a closed port have different messages and the same error, a 502."""
    async with (
        canned(FOUND, tls=trust.server) as server,
        https_source(trust, server, names={"images.test": [["127.0.0.1"]]}) as https,
    ):
        with pytest.raises(SourceUnavailable, match="name of its host can't be resolved"):
            await https.open(f"https://other.test:{server.port}/?token={SECRET}")
        closed = server.port
    async with https_source(trust, CannedServer(port=closed)) as https:
        with pytest.raises(SourceUnavailable, match="is unreachable") as failed:
            await https.open(f"https://images.test:{closed}/?token={SECRET}")
    assert SECRET not in exception_text(failed.value)


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"])
async def test_a_silent_host_times_out(trust: Tls, head: bytes) -> None:
    """A host that stops responding, before or within the body, times out."""
    async with (
        canned(head, tls=trust.server, lingers=True) as server,
        https_source(trust, server, timeout_s=0.5) as https,
    ):
        started = time.monotonic()
        with pytest.raises(Timeout) as failed:
            await https.open(f"https://images.test:{server.port}/?token={SECRET}")
    assert time.monotonic() - started < 2
    assert SECRET not in exception_text(failed.value)
