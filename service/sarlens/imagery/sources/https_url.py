"""``https:`` URLs: their canonical form, and the hosts that they may name."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address
from typing import NoReturn

from yarl import URL

from sarlens.errors import BadRequest, SourceNotAllowed
from sarlens.types.caller import CanRead, allow_all
from sarlens.types.image_request import MAX_URL_CHARS


class HostAllowlist:
    """Allowed hosts: ``example.com``, ``*.example.com`` (any depth), ``example.com:8443``; the default port is 443."""

    def __init__(self, hosts: Iterable[str]) -> None:
        self._hosts = frozenset(host.lower() if ":" in host else f"{host.lower()}:443" for host in hosts)

    def allows(self, host: str, port: int) -> bool:
        """Whether a host and port are on the list; an IP address never is."""
        try:
            ip_address(host)
        except ValueError:
            labels = host.lower().split(".")
            names = [".".join(labels), *("*." + ".".join(labels[index:]) for index in range(1, len(labels)))]
            return not self._hosts.isdisjoint(f"{name}:{port}" for name in names)
        return False

    def check(self, url: str, base: URL | None = None) -> URL:
        """Parse a URL, relative to the one that redirects to it, and check its host.

        Raises:
            BadRequest: the URL is invalid.
            SourceNotAllowed: its scheme isn't https, or its host isn't allowed.
        """
        if len(url) > MAX_URL_CHARS:
            raise BadRequest(f"The https: URL of the image has more than {MAX_URL_CHARS} characters.")
        try:
            target = (base.join(URL(url)) if base else URL(url)).with_fragment(None)
            host, port = target.raw_host or "", target.port or 0
        except (ValueError, IndexError):  # yarl raises IndexError for "https://[]@"
            host = ""
        if not host or target.user is not None or target.password is not None:
            raise BadRequest("The URL of the image must have the form https://host/path, without user and password.")
        if target.scheme != "https":
            raise SourceNotAllowed(f"The image redirects to a {target.scheme}: URL; only https: is allowed.")
        if not self.allows(host, port):
            raise SourceNotAllowed(f"The host {host}, port {port}, isn't on the list of allowed image hosts.")
        return target


class NoHttps:
    """The source of ``https:`` URLs of a gateway that allows no host."""

    async def open(self, url: str, can_read: CanRead = allow_all) -> NoReturn:
        """Reject a URL.

        Raises:
            BadRequest: the URL is invalid.
            SourceNotAllowed: the URL is valid.
        """
        raise SourceNotAllowed(f"The host {HostAllowlist(()).check(url).host} isn't allowed.")


def canonical_https_url(url: URL) -> str:
    """``https://host/path`` with the path decoded and without query; the port only if it isn't 443."""
    port = "" if url.port in {443, None} else f":{url.port}"
    return f"https://{url.host}{port}{url.path}"
