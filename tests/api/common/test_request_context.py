"""Headers and metadata become one request context."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarlens.admission.api_keys import ApiKey
from sarlens.api.common.request_context import RequestContext, RequestHeaders, parse_deadline
from sarlens.api.grpc.call_context import parse_metadata, peer_address
from sarlens.errors import BadRequest, DeadlineExceeded
from sarlens.observability import tracing

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
KEY = ApiKey(name="gis", sha256="0" * 64, images=("s3://scenes",), priority=-3)


def trace_of(headers: RequestHeaders) -> dict[str, str]:
    """The W3C headers of a trace context."""
    with tracing.start_trace(tracing.NoOpTracer(), "request", headers.trace) as span:
        return tracing.propagation_headers(span)


@pytest.mark.parametrize("sent", [b"scene-42", b"a" * 128, b"A.b_c:d-1"])
def test_a_valid_request_id_is_kept(sent: bytes) -> None:
    """A token of at most 128 letters, digits and .:_- is the request id."""
    assert RequestHeaders.parse([(b"x-request-id", sent)]).request_id == sent.decode()


@pytest.mark.parametrize("sent", [b"", b"a b", b"-a", b"a" * 129, b"a\n", b"\xff"])
def test_an_invalid_request_id_is_replaced(sent: bytes) -> None:
    """Any other value is replaced by 32 hexadecimal digits, new for each request."""
    first, second = (RequestHeaders.parse([(b"x-request-id", sent)]).request_id for _ in range(2))
    assert re.fullmatch("[0-9a-f]{32}", first)
    assert first != second


def test_the_first_valid_header_counts() -> None:
    """Of repeated headers the first valid one is used; values of tracestate are joined in their order."""
    headers = RequestHeaders.parse(
        [
            (b"x-request-id", b"a b"),
            (b"x-request-id", b"first"),
            (b"x-request-id", b"second"),
            (b"authorization", b"Basic abc"),
            (b"authorization", b"bearer  one "),
            (b"x-request-deadline", b"12.5"),
            (b"traceparent", TRACEPARENT.encode()),
            (b"tracestate", b"congo=1"),
            (b"tracestate", b"rojo=2"),
        ]
    )
    assert (headers.request_id, headers.bearer_token, headers.deadline) == ("first", "one", "12.5")
    assert trace_of(headers) == {"traceparent": TRACEPARENT, "tracestate": "congo=1,rojo=2"}


KEYS = [(b"authorization", b"Bearer sar-1"), (b"api-key", b" sar-1 "), (b"x-api-key", b"sar-1")]


@pytest.mark.parametrize("sent", [[header] for header in KEYS] + [KEYS, [*KEYS, (b"authorization", b"Basic two")]])
def test_a_key_has_three_headers(sent: list[tuple[bytes, bytes]]) -> None:
    """Authorization, Api-Key and X-Api-Key carry the key, each alone and all together."""
    headers = RequestHeaders.parse([*sent, (b"api-key", b""), (b"authorization", b"Bearer ")])
    assert (headers.bearer_token, headers.ambiguous) == ("sar-1", False)
    assert "sar-1" not in repr(headers)


@pytest.mark.parametrize("other", [(b"authorization", b"Bearer two"), (b"api-key", b"two"), (b"x-api-key", b"SAR-1")])
def test_different_keys_are_ambiguous(other: tuple[bytes, bytes]) -> None:
    """A request with two different keys has none, in whichever headers and order they are."""
    for sent in ([*KEYS, other], [other, *KEYS]):
        headers = RequestHeaders.parse(sent)
        assert (headers.bearer_token, headers.ambiguous) == (None, True)


def test_without_headers_there_is_only_an_id() -> None:
    """A request without these headers has a new id, no token, no deadline and no trace."""
    headers = RequestHeaders.parse([(b"host", b"gateway"), (b"accept", b"*/*")])
    assert re.fullmatch("[0-9a-f]{32}", headers.request_id)
    assert (headers.bearer_token, headers.deadline, headers.trace) == (None, None, tracing.ROOT)
    assert RequestHeaders.parse([(b"authorization", b"Basic abc")]).bearer_token is None


def test_metadata_of_grpc_is_parsed_as_headers_are() -> None:
    """gRPC metadata, of text or bytes, gives the same fields as HTTP headers."""
    metadata = (
        ("x-request-id", "call-1"),
        ("authorization", "Bearer secret"),
        ("traceparent", TRACEPARENT),
        ("x-bin", b"\xff"),
    )
    headers = parse_metadata(metadata)
    assert (headers.request_id, headers.bearer_token) == ("call-1", "secret")
    both = parse_metadata((*metadata, ("x-api-key", "other")))
    assert (both.bearer_token, both.ambiguous) == (None, True)
    assert trace_of(headers) == {"traceparent": TRACEPARENT}


@pytest.mark.parametrize(
    ("value", "wanted"), [(b"1", True), (b"?1", True), (b"0", False), (b"?0", False), (b"", False)]
)
def test_the_route_receipt_is_requested_by_a_true_value(value: bytes, wanted: bool) -> None:
    """Sarlens-Route requests the receipt with 1, or ?1 as RFC 9651 has it, and not with any other value."""
    assert RequestHeaders.parse([(b"sarlens-route", value)]).wants_route is wanted
    assert RequestHeaders.parse([(b"x-request-id", b"1")]).wants_route is False


def test_a_token_is_not_shown() -> None:
    """The text of parsed headers, which may be logged, doesn't hold the API key."""
    assert "secret" not in repr(RequestHeaders.parse([(b"authorization", b"Bearer secret")]))


@given(st.lists(st.tuples(st.sampled_from([b"x-request-id", b"authorization", b"tracestate", b"host"]), st.binary())))
def test_any_headers_are_parsed(headers: list[tuple[bytes, bytes]]) -> None:
    """For any bytes in the header, the request id is safe in a header and in a log line."""
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}", RequestHeaders.parse(headers).request_id)


def test_a_key_sets_the_terms() -> None:
    """Name, priority, share and images of the key, and the deadline, are the policy of the request."""
    context = RequestContext.from_key("id-1", KEY, 99.5)
    assert (context.request_id, context.key) == ("id-1", KEY)
    assert context.policy[:3] == ("gis", -3, 99.5)
    assert context.policy.share == ("gis", 1.0, None, None)
    assert context.policy.share is RequestContext.from_key("id-2", KEY).policy.share
    assert (context.policy.can_read("s3://scenes/a.tif"), context.policy.can_read("s3://other/a.tif")) == (True, False)


def test_without_a_key_everything_is_allowed() -> None:
    """On a gateway without keys the policy has no salt, priority 0, and allows every image."""
    context = RequestContext.from_key("id-1", None)
    assert context.policy[:3] == ("", 0, None)
    assert context.policy.share == ("", 1.0, None, None)
    assert context.policy.can_read("s3://any/a.tif")


def test_a_client_is_a_key_or_a_network() -> None:
    """The client is the key's name; without keys, the IPv4 address or the first 64 bits of the IPv6 address."""
    networks = {
        "10.0.0.1": "10.0.0.1",
        "::ffff:10.0.0.1": "10.0.0.1",
        "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64",
        "2001:db8:1:2::1": "2001:db8:1:2::/64",
        "fe80::1%eth0": "fe80::/64",
        "": "",
    }
    for address, network in networks.items():
        assert RequestContext.from_key("id-1", None, address=address).client == network
        assert RequestContext.from_key("id-1", KEY, address=address).client == "gis"


@pytest.mark.parametrize(
    ("peer", "address"), [("ipv4:10.0.0.1:5000", "10.0.0.1"), ("ipv6:%5B::1%5D:5000", "::1"), ("unix:", "")]
)
def test_a_peer_of_grpc_has_an_address(peer: str, address: str) -> None:
    """The address of a gRPC peer has no scheme, no port and no brackets."""
    assert peer_address(peer) == address


def test_a_deadline_changes_nothing_else() -> None:
    """Adding a deadline keeps id, key, priority and images."""
    before, after = RequestContext.from_key("id-1", KEY), RequestContext.from_key("id-1", KEY, 12.5)
    assert after.policy.deadline == 12.5
    assert after._replace(policy=before.policy) == before
    assert after.policy._replace(deadline=None) == before.policy


@pytest.mark.parametrize("text", ["soon", "-1", "1e300", "nan", "", "1.", "9" * 12, "1.0000000001"])
def test_a_malformed_deadline_is_rejected(text: str) -> None:
    """A deadline is a decimal number of seconds since 1970."""
    with pytest.raises(BadRequest, match="X-Request-Deadline"):
        parse_deadline(text)


def test_a_deadline_lies_in_the_future() -> None:
    """A time in the past is rejected, one in the future is returned in seconds."""
    with pytest.raises(DeadlineExceeded):
        parse_deadline("1700000000.5")
    later = round(time.time() + 2, 3)
    assert parse_deadline(f"{later}") == later


def test_new_request_ids_are_unique() -> None:
    """Requests without an id get one of 32 hexadecimal digits each."""
    ids = {RequestHeaders.parse([]).request_id for _ in range(10_000)}
    assert len(ids) == 10_000
    assert all(re.fullmatch("[0-9a-f]{32}", request_id) for request_id in ids)
