"""Headers of a request, parsed once, and its context, made once the caller is authenticated."""

from __future__ import annotations

import ipaddress
import re
import time
from collections.abc import Iterable
from random import getrandbits
from typing import NamedTuple

from sarlens.admission.api_keys import ApiKey
from sarlens.errors import BadRequest, DeadlineExceeded
from sarlens.observability import tracing
from sarlens.observability.caller import bind_key
from sarlens.types.caller import ANONYMOUS, CallerPolicy

Headers = Iterable[tuple[bytes, bytes]]

# Some connectors of vLLM read addresses from an id with three underscores in a row.
_REQUEST_ID = re.compile(rb"(?!.*___)[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
_SECONDS = re.compile(r"[0-9]{1,11}(?:\.[0-9]{1,9})?")
_BEARER = b"bearer "
_KEY_HEADERS = (b"api-key", b"x-api-key")
_TRUE = frozenset({b"1", b"?1"})
_NAMES = frozenset(
    {
        b"x-request-id",
        b"authorization",
        *_KEY_HEADERS,
        b"x-request-deadline",
        b"traceparent",
        b"tracestate",
        b"sarlens-route",
    }
)


class RequestHeaders(NamedTuple):
    """The HTTP headers or gRPC metadata that every protocol shares, as the client sent them."""

    request_id: str
    """``X-Request-Id`` if it is a valid token, else a new id of 32 hexadecimal digits."""
    trace: tracing.Context
    """Trace context of ``traceparent`` and ``tracestate``."""
    bearer_token: str | None = None
    """Secret of ``Authorization: Bearer``, ``Api-Key`` or ``X-Api-Key``."""
    deadline: str | None = None
    """``X-Request-Deadline``, not validated."""
    ambiguous: bool = False
    """Whether the request has several different API keys."""
    wants_route: bool = False
    """Whether ``Sarlens-Route`` requests the route receipt."""

    def __repr__(self) -> str:
        """Return the request id, and no secret."""
        return f"RequestHeaders(request_id={self.request_id!r})"

    @classmethod
    def parse(cls, headers: Headers) -> RequestHeaders:
        """Read the headers in one pass. Names are in lower case, as ASGI and gRPC have them."""
        values: dict[bytes, list[bytes]] = {}
        for name, value in headers:
            if name in _NAMES:
                values.setdefault(name, []).append(value)
        if not values:
            return cls(_new_request_id(), tracing.ROOT)
        ids = (value.decode() for value in values.get(b"x-request-id", ()) if _REQUEST_ID.fullmatch(value))
        keys = _api_keys(values)
        deadlines = (value.decode("latin-1") for value in values.get(b"x-request-deadline", ()))
        trace = tracing.ROOT
        if b"traceparent" in values:
            trace = tracing.extract(
                {name.decode(): [value.decode("latin-1") for value in values[name]] for name in values}
            )
        key = next(iter(keys)) if len(keys) == 1 else None
        wants_route = not _TRUE.isdisjoint(values.get(b"sarlens-route", ()))
        return cls(next(ids, None) or _new_request_id(), trace, key, next(deadlines, None), len(keys) > 1, wants_route)


def _new_request_id() -> str:
    """Return a unique id. It is no secret, so it needs no system call for random bytes."""
    return f"{getrandbits(128):032x}"


def _api_keys(values: dict[bytes, list[bytes]]) -> set[str]:
    """The distinct API keys of the headers that may carry one."""
    keys = {
        value[len(_BEARER) :].strip()
        for value in values.get(b"authorization", ())
        if value[: len(_BEARER)].lower() == _BEARER
    }
    for name in _KEY_HEADERS:
        keys.update(value.strip() for value in values.get(name, ()))
    return {key.decode("latin-1") for key in keys if key}


class RequestContext(NamedTuple):
    """An authenticated request: its id, its API key and the terms of its service, for every protocol.

    Requests to unprotected paths have no context. A route that reads one there fails instead of serving everyone.
    """

    request_id: str
    key: ApiKey | None
    """API key of the caller; None if the gateway has no keys."""
    policy: CallerPolicy
    """Priority, deadline, readable images and cache salt."""

    client: str = ""
    """Name of the API key, or the client's network address if the gateway has no keys."""

    @classmethod
    def from_key(
        cls, request_id: str, key: ApiKey | None, deadline: float | None = None, *, address: str = ""
    ) -> RequestContext:
        """The context of a request by the holder of an API key; ``deadline`` is in seconds since 1970.

        The current task works for the key from then on.
        """
        if key is None:
            policy = ANONYMOUS if deadline is None else CallerPolicy(deadline=deadline)
            return cls(request_id, None, policy, client_network(address))
        bind_key(key.name)
        policy = CallerPolicy(key.name, key.priority, deadline, key.allows_image, key.share, key.allows_model)
        return cls(request_id, key, policy, key.name)


def client_network(address: str) -> str:
    """The part of an IP address that identifies a client: all of it, or the first 64 bits of IPv6."""
    if ":" not in address:
        return address
    ip = ipaddress.IPv6Address(address.partition("%")[0])
    return str(ip.ipv4_mapped or ipaddress.IPv6Network((int(ip) >> 64 << 64, 64)))


def parse_deadline(text: str) -> float:
    """The time of an ``X-Request-Deadline`` header, in seconds since 1970.

    Raises:
        BadRequest: the header isn't a time.
        DeadlineExceeded: the time is in the past.
    """
    if not _SECONDS.fullmatch(text):
        raise BadRequest("X-Request-Deadline must be a time in seconds since 1970, such as 1767225600.5.")
    deadline = float(text)
    if deadline <= time.time():
        raise DeadlineExceeded("The deadline had passed when the request arrived.")
    return deadline
