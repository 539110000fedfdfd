"""The request line and the headers of a request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import unquote

import httptools

from sarlens.chat.paths import COMPLETION_PATHS
from sarlens.errors import BadRequest, MethodNotAllowed

Headers = Sequence[tuple[bytes, bytes]]

_METHODS = ("GET", "HEAD", "POST", "DELETE")
_UPGRADE = frozenset({b"upgrade", b"http2-settings"})
"""Headers of an upgrade, which are also tokens of ``Connection``."""


class Target(NamedTuple):
    """The parts of a request's target."""

    path: str
    raw_path: bytes
    query: bytes
    authority: bytes | None
    """Host and port of an absolute target, which precede the header ``Host`` (RFC 9112, 3.2.2)."""

    @classmethod
    def parse(cls, method: bytes, target: bytes) -> Target:
        """Parse the target of a request; those of the completion routes are known.

        Raises:
            BadRequest: the target isn't a valid URL.
            MethodNotAllowed: the target is that of a proxy.
        """
        if method == b"CONNECT":
            raise MethodNotAllowed("The gateway isn't a proxy.", allow=_METHODS)
        if (known := _KNOWN_TARGETS.get(target)) is not None:
            return known
        try:
            url = httptools.parse_url(target)
            raw_path = url.path or b"/"
            path = raw_path.decode("ascii")
        except (httptools.HttpParserInvalidURLError, UnicodeDecodeError):
            raise BadRequest("The target of the request isn't a valid URL.") from None
        authority = None
        if url.host is not None:
            host = b"[%b]" % url.host if b":" in url.host else url.host
            authority = host if url.port is None else b"%b:%d" % (host, url.port)
        return cls(unquote(path) if "%" in path else path, raw_path, url.query or b"", authority)


_KNOWN_TARGETS = {path.encode(): Target(path, path.encode(), b"", None) for path in COMPLETION_PATHS}


def head_size(url: bytes, headers: Headers) -> int:
    """Bytes of a target and of headers with their separators."""
    return len(url) + sum(len(name) + len(value) + 4 for name, value in headers)


def without_upgrade(method: bytes, url: bytes, version: str, headers: Headers) -> bytes:
    """The bytes of a head without its upgrade."""
    lines = [b"%b %b HTTP/%b" % (method, url, version.encode())]
    for name, value in headers:
        if name == b"connection":
            tokens = [token for token in value.split(b",") if token.strip().lower() not in _UPGRADE]
            if tokens:
                lines.append(b"connection:" + b",".join(tokens))
        elif name not in _UPGRADE:
            lines.append(name + b":" + value)
    return b"\r\n".join([*lines, b"", b""])
