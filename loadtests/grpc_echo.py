"""gRPC's own server without a gateway, as the floor of ``grpc_cost.py``: it reads a request and sends a fixed response.

Messages stay bytes. A stream gets a response for each token of ``stub_worker.py``, 33 of them.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import grpc
import grpc.aio
import uvloop
from tritonclient.grpc import service_pb2 as pb

_TOKENS = 33
_ANSWER = pb.ModelInferResponse(model_name="sarlens-nano", raw_output_contents=[b"\1\0\0\0" + b"3"])
_INFER: bytes = _ANSWER.SerializeToString()
_CHUNK: bytes = pb.ModelStreamInferResponse(infer_response=_ANSWER).SerializeToString()


async def model_infer(_request: bytes, _context: Any) -> bytes:
    """Respond to one request."""
    return _INFER


async def model_stream_infer(_: object, context: Any) -> None:
    """Respond to each request of a stream."""
    while await context.read() is not grpc.aio.EOF:
        for _ in range(_TOKENS):
            await context.write(_CHUNK)


async def serve(port: int) -> None:
    """Serve until the process ends."""
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", -1)])
    handlers = {
        "ModelInfer": grpc.unary_unary_rpc_method_handler(model_infer),
        "ModelStreamInfer": grpc.stream_stream_rpc_method_handler(model_stream_infer),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("inference.GRPCInferenceService", handlers),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
