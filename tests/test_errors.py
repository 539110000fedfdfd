"""The error table."""

from __future__ import annotations

import grpc

from sarlens.errors import BadRequest
from support.errors import tree


def test_errors_have_one_table() -> None:
    """An error that the service causes does so over HTTP and gRPC, and so does one that the client causes."""
    service_statuses = {"INTERNAL", "UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED"}
    for error_cls in tree():
        if error_cls.status >= 500:
            assert error_cls.grpc_status in service_statuses, error_cls
        else:
            assert error_cls.grpc_status not in {"INTERNAL", "UNAVAILABLE"}, error_cls
        assert error_cls.grpc_status in grpc.StatusCode.__members__


def test_errors_quote_little_of_the_request() -> None:
    """A message has at most 4,000 characters and a parameter 256, so that no field of a caller is echoed whole."""
    error = BadRequest("a" * 4_000_000, param="b" * 4_000_000)
    assert (len(error.message), error.message[-2:], len(str(error))) == (4000, "a…", 4000)
    assert error.param == "b" * 256
