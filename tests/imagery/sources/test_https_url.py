"""``https:`` URLs and the hosts that they may name."""

from __future__ import annotations

import pytest

from sarlens.errors import BadRequest, SarlensError, SourceNotAllowed
from sarlens.imagery.sources.https_url import HostAllowlist, NoHttps


@pytest.mark.parametrize(
    ("host", "port", "allowed"),
    [
        ("example.com", 443, True),
        ("EXAMPLE.com", 443, True),
        ("example.com", 8443, False),
        ("example.com.", 443, False),
        ("evil-example.com", 443, False),
        ("example.com.evil.net", 443, False),
        ("www.example.com", 443, False),
        ("a.archive.org", 443, True),
        ("a.b.archive.org", 443, True),
        ("archive.org", 443, False),
        ("evilarchive.org", 443, False),
        ("tiles.net", 8443, True),
        ("tiles.net", 443, False),
        ("10.0.0.1", 443, False),
        ("::1", 443, False),
        ("", 443, False),
        ("*.archive.org", 80, False),
    ],
)
def test_hosts_are_allowed_by_name_and_port(host: str, port: int, allowed: bool) -> None:
    """A name allows itself, a wildcard all names below it, and neither an address nor a similar name is allowed."""
    hosts = HostAllowlist(["Example.com", "*.archive.org", "tiles.net:8443", "10.0.0.1"])
    assert hosts.allows(host, port) is allowed


@pytest.mark.parametrize(
    ("url", "error_cls"),
    [
        ("https://example.com/a.tif", SourceNotAllowed),
        ("https://[]@", BadRequest),
        ("https://user@example.com/", BadRequest),
    ],
)
async def test_without_allowed_hosts_every_url_is_rejected(url: str, error_cls: type[SarlensError]) -> None:
    """A gateway without allowed hosts rejects each URL, and an invalid one as such."""
    with pytest.raises(error_cls):
        await NoHttps().open(url)
