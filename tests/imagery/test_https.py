"""Images on the web, from real TLS servers."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from sarlens.errors import (
    AccessDenied,
    BadRequest,
    ImageNotFound,
    SarlensError,
    SourceRefused,
    SourceUnavailable,
    Timeout,
    TooLarge,
)
from sarlens.imagery.cache import ByteLRU
from sarlens.imagery.https import Https, open_https
from stack.canned import Canned, canned, http
from stack.names import Names
from stack.overheard import overheard
from stack.tls import Tls, tls

SECRET = "secret-word"
IMAGE = bytes(range(256)) * 8
FOUND = http(200, IMAGE, ['ETag: "one"'])
HOME = {"images.test": [["127.0.0.1"]], "other.test": [["127.0.0.1"]]}


@pytest.fixture(scope="module")
def trust(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    """A certificate for the hosts of these tests."""
    return tls(tmp_path_factory.mktemp("tls"), "images.test", "other.test", "localhost")


def web(
    trust: Tls, *servers: Canned, names: Mapping[str, Sequence[Sequence[str]]] = HOME, timeout_s: float = 5.0
) -> AbstractAsyncContextManager[Https]:
    """The source with two hosts allowed on the ports of these servers, and this machine in place of the internet."""
    hosts = [f"{host}:{server.port}" for server in servers for host in ("images.test", "other.test")]
    return open_https(
        ByteLRU(2**20, weigh=len),
        hosts=hosts,
        limit=4096,
        timeout_s=timeout_s,
        resolver=Names(names),
        allows=lambda address: address == "127.0.0.1",
        tls=trust.client,
    )


async def test_an_image_is_fetched(trust: Tls) -> None:
    """An image of an allowed host is read whole; its name leaves the query out, and nothing personal is sent."""
    async with canned(FOUND, tls=trust.server) as server, web(trust, server) as https:
        blob = await https.open(f"https://images.test:{server.port}/a%20b/port.png?token={SECRET}&x=%2F#top")
    assert blob.read(0, blob.size) == IMAGE
    assert blob.read(250, 10) == IMAGE[250:260]
    assert blob.name == f"https://images.test:{server.port}/a%20b/port.png"
    assert blob.version == f"sha256:{hashlib.sha256(IMAGE).hexdigest()}"
    assert blob.bytes_moved == len(IMAGE)
    (asked,) = server.asked
    assert asked.startswith(f"GET /a%20b/port.png?token={SECRET}&x=")
    assert "accept-encoding: identity" in asked.lower()
    assert "cookie" not in asked.lower()
    assert "authorization" not in asked.lower()


async def test_an_image_that_did_not_change_is_not_fetched_again(trust: Tls) -> None:
    """A kept image is asked for with its ETag; unchanged it moves no bytes, changed it is another version."""
    changed = http(200, b"new", ['ETag: "two"', "Set-Cookie: a=b"])
    async with canned(FOUND, http(304), changed, http(304), tls=trust.server) as server, web(trust, server) as https:
        url = f"https://images.test:{server.port}/port.png"
        first, second, third, fourth = [await https.open(url) for _ in range(4)]
    assert (second.bytes_moved, second.version, second.read(0, 9999)) == (0, first.version, IMAGE)
    assert (third.read(0, 9), fourth.read(0, 9)) == (b"new", b"new")
    assert third.version != first.version
    conditions = [line for asked in server.asked for line in asked.splitlines() if line.lower().startswith("if-")]
    assert conditions == ['If-None-Match: "one"', 'If-None-Match: "one"', 'If-None-Match: "two"']
    assert not any("cookie" in asked.lower() for asked in server.asked)


async def test_an_image_without_an_etag_is_fetched_each_time(trust: Tls) -> None:
    """What cannot be asked after is fetched anew."""
    async with canned(http(200, b"old"), http(200, b"new"), tls=trust.server) as server, web(trust, server) as https:
        url = f"https://images.test:{server.port}/port.png"
        assert [(await https.open(url)).read(0, 3) for _ in range(2)] == [b"old", b"new"]


async def test_callers_at_the_same_time_share_one_fetch(trust: Tls) -> None:
    """Twenty callers for one URL cost its host one request."""
    async with canned(FOUND, tls=trust.server) as server, web(trust, server) as https:
        url = f"https://images.test:{server.port}/port.png"
        blobs = await asyncio.gather(*(https.open(url) for _ in range(20)))
    assert len(server.asked) == 1
    assert sum(blob.bytes_moved for blob in blobs) == len(IMAGE)


CHUNK = b"400\r\n" + bytes(0x400) + b"\r\n"
STREAMED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("answer", "kind", "reason"),
    [
        (http(200, length=4097), TooLarge, "4096 bytes"),
        (STREAMED + CHUNK * 5 + b"0\r\n\r\n", TooLarge, "4096 bytes"),
        (STREAMED + CHUNK * 3, SourceUnavailable, "broke off"),
        (http(200, IMAGE, length=4000), SourceUnavailable, "broke off"),
        (http(200, IMAGE, ["Content-Encoding: gzip"]), SourceUnavailable, "compresses"),
        (http(200, IMAGE, ["Content-Length: 5"]), SourceUnavailable, "broke off"),
        (http(204), SourceUnavailable, "status 204"),
        (http(206, IMAGE), SourceUnavailable, "status 206"),
        (http(304), SourceUnavailable, "status 304"),
        (http(401), AccessDenied, "login"),
        (http(403), AccessDenied, "refuses"),
        (http(404), ImageNotFound, "nothing"),
        (http(410), ImageNotFound, "gone"),
        (http(500), SourceUnavailable, "status 500"),
        (http(504), Timeout, "waited"),
        (http(302), SourceUnavailable, "redirects"),
        (http(302, headers=["Location: http://images.test/"]), SourceRefused, "http:"),
        (http(302, headers=["Location: file:///etc/passwd"]), BadRequest, "https://"),
        (http(302, headers=["Location: https://elsewhere.test/"]), SourceRefused, "elsewhere.test"),
        (http(302, headers=["Location: https://127.0.0.1/"]), SourceRefused, "127.0.0.1"),
        (http(302, headers=["Location: https://[::1"]), BadRequest, "https://"),
        (http(302, headers=["Location: https://user:pw@images.test/"]), BadRequest, "login"),
        (b"nonsense\r\n\r\n", SourceUnavailable, "broke off"),
        (b"", SourceUnavailable, "broke off"),
    ],
)
async def test_hosts_that_misbehave_are_understood(
    trust: Tls, answer: bytes, kind: type[SarlensError], reason: str
) -> None:
    """Whatever a host answers becomes one error of the tree, and no log can hold the query of the URL."""
    async with canned(answer, tls=trust.server) as server, web(trust, server) as https:
        with pytest.raises(kind, match=reason) as failed:
            await https.open(f"https://images.test:{server.port}/port.png?token={SECRET}")
    assert type(failed.value) is kind
    assert SECRET not in overheard(failed.value)


async def test_a_body_of_just_the_limit_is_read(trust: Tls) -> None:
    """The limit itself is allowed, whether announced or streamed."""
    answers = http(200, bytes(4096)), STREAMED + CHUNK * 4 + b"0\r\n\r\n"
    async with canned(*answers, tls=trust.server) as server, web(trust, server) as https:
        for path in ("announced", "streamed"):
            assert (await https.open(f"https://images.test:{server.port}/{path}")).size == 4096


async def test_redirects_are_followed_three_times(trust: Tls) -> None:
    """Three redirects among allowed hosts are followed, relative or absolute; a fourth is refused."""
    hops = [http(301, headers=["Location: /b"]), http(307, headers=["Location: ../c?x=1"])]
    async with canned(FOUND, tls=trust.server) as other:
        far = http(302, headers=[f"Location: https://other.test:{other.port}/d"])
        async with canned(*hops, far, tls=trust.server) as server, web(trust, server, other) as https:
            assert (await https.open(f"https://images.test:{server.port}/a/a")).size == len(IMAGE)
            paths = [asked.split(" ")[1] for asked in (*server.asked, *other.asked)]
            assert paths == ["/a/a", "/b", "/c?x=1", "/d"]
    async with canned(http(302, headers=["Location: /again"]), tls=trust.server) as server, web(trust, server) as https:
        with pytest.raises(SourceUnavailable, match="more than 3 times"):
            await https.open(f"https://images.test:{server.port}/again")
        assert len(server.asked) == 4


async def test_a_redirect_into_the_private_network_is_refused(trust: Tls) -> None:
    """An allowed host that redirects to a name inside the network is stopped before a connection is made there."""
    names = {"images.test": [["127.0.0.1"]], "other.test": [["127.0.0.2"]]}
    async with canned(FOUND, tls=trust.server) as inside:
        far = http(302, headers=[f"Location: https://other.test:{inside.port}/"])
        async with canned(far, tls=trust.server) as server, web(trust, server, inside, names=names) as https:
            with pytest.raises(SourceRefused, match="private network"):
                await https.open(f"https://images.test:{server.port}/")
        assert (len(server.asked), inside.asked) == (1, [])


async def test_a_name_that_changes_its_address_gains_nothing(trust: Tls) -> None:
    """A host whose name leads outside at first and inside later is refused at the later connection (DNS rebinding)."""
    names = {"images.test": [["127.0.0.1"], ["127.0.0.2"]]}
    async with canned(http(200, IMAGE), tls=trust.server) as server, web(trust, server, names=names) as https:
        url = f"https://images.test:{server.port}/port.png"
        assert (await https.open(url)).size == len(IMAGE)
        with pytest.raises(SourceRefused, match="private network"):
            await https.open(url)
        assert len(server.asked) == 1


async def test_this_machine_is_out_of_reach_by_default(trust: Tls) -> None:
    """Without the leave of a test, a host on the list that leads to the loopback address is refused unasked."""
    async with (
        canned(FOUND, tls=trust.server) as server,
        open_https(ByteLRU(0, weigh=len), hosts=[f"localhost:{server.port}"], limit=4096, tls=trust.client) as https,
    ):
        with pytest.raises(SourceRefused, match="private network"):
            await https.open(f"https://localhost:{server.port}/")
    assert server.asked == []


@pytest.mark.parametrize(
    ("url", "kind"),
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
        ("https://images.test/", SourceRefused),
        ("https://images.test:{port}@evil.test/", BadRequest),
        ("https://evil.test:{port}/", SourceRefused),
        ("https://evil.test:{port}/#images.test", SourceRefused),
        ("https://evil.test:{port}\\@images.test/", BadRequest),
        ("https://127.0.0.1:{port}/", SourceRefused),
        ("https://[::1]:{port}/", SourceRefused),
        ("https://2130706433:{port}/", SourceRefused),
        ("https://images.test.:{port}/", SourceRefused),
        ("http://images.test:{port}/", SourceRefused),
        ("/port.png", BadRequest),
    ],
)
async def test_other_urls_are_refused_unasked(trust: Tls, url: str, kind: type[SarlensError]) -> None:
    """What is not plainly an allowed host on its port is refused before anything is looked up."""
    async with canned(FOUND, tls=trust.server) as server, web(trust, server) as https:
        with pytest.raises(kind) as refused:
            await https.open(url.format(port=server.port))
    assert type(refused.value) is kind
    assert server.asked == []
    assert SECRET not in overheard(refused.value)


async def test_a_host_nobody_vouches_for_is_refused(trust: Tls, tmp_path: Path) -> None:
    """A certificate of a stranger, or for another name, gets no request."""
    stranger = await asyncio.to_thread(tls, tmp_path, "images.test")
    for server_tls, host in ((stranger.server, "images.test"), (trust.server, "third.test")):
        async with (
            canned(FOUND, tls=server_tls) as server,
            open_https(
                ByteLRU(0, weigh=len),
                hosts=[f"{host}:{server.port}"],
                limit=4096,
                resolver=Names({host: [["127.0.0.1"]]}),
                allows=lambda address: True,
                tls=trust.client,
            ) as https,
        ):
            with pytest.raises(SourceUnavailable, match="certificate"):
                await https.open(f"https://{host}:{server.port}/?token={SECRET}")
        assert server.asked == []


async def test_a_host_that_is_not_there_is_unavailable(trust: Tls) -> None:
    """An unknown name and a closed port are told apart, and neither is the caller's fault."""
    async with (
        canned(FOUND, tls=trust.server) as server,
        web(trust, server, names={"images.test": [["127.0.0.1"]]}) as https,
    ):
        with pytest.raises(SourceUnavailable, match="name is not known"):
            await https.open(f"https://other.test:{server.port}/?token={SECRET}")
        closed = server.port
    async with web(trust, Canned(port=closed)) as https:
        with pytest.raises(SourceUnavailable, match="cannot be reached") as failed:
            await https.open(f"https://images.test:{closed}/?token={SECRET}")
    assert SECRET not in overheard(failed.value)


@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"])
async def test_a_silent_host_costs_no_more_than_its_time(trust: Tls, begun: bytes) -> None:
    """A host that stops answering, before or in the middle, is given up after the timeout."""
    async with canned(begun, tls=trust.server, lingers=True) as server, web(trust, server, timeout_s=0.5) as https:
        started = time.monotonic()
        with pytest.raises(Timeout) as failed:
            await https.open(f"https://images.test:{server.port}/?token={SECRET}")
    assert time.monotonic() - started < 2
    assert SECRET not in overheard(failed.value)
