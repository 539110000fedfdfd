"""Construction of the gRPC services, over the core that they share with HTTP."""

from __future__ import annotations

from sarlens.api.app.build import ApiCore
from sarlens.api.grpc.call_context import GrpcCallContext
from sarlens.api.grpc.call_guard import CallGuard
from sarlens.api.grpc.oip_servicer import OipServicer
from sarlens.api.grpc.sar_servicer import SarServicer
from sarlens.api.grpc.server import SERVICES, Services


def build_grpc_services(core: ApiCore, max_concurrent_calls: int) -> Services:
    """Build the services of a gRPC server with a limit of concurrent calls."""
    calls, limits = GrpcCallContext(core.authorizer, core.drain, core.recorder), {"max_questions": core.max_questions}
    return Services(
        OipServicer(core.data_plane, calls, core.memory, **limits),
        SarServicer(core.tasks, calls, core.memory, core.submission, core.job_service, **limits),
        CallGuard(calls, SERVICES, OipServicer.OPEN_METHODS, max_concurrent_calls),
    )
