"""Requests and responses of Triton's vLLM backend, and the size of its messages."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc.aio
import numpy as np
import orjson
import pytest
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc
from tritonclient.utils import serialize_byte_tensor

from sarlens.errors import WorkerFailed
from sarlens.workers.clients.http import WorkerTimeouts
from sarlens.workers.clients.triton import TritonClient
from sarlens.workers.clients.triton_protocol import OpenAIResponseBuilder, to_triton_inputs

COMPLETIONS = "/v1/completions"
MAX_RESPONSE_BYTES = 2**20


def sampling(**fields: Any) -> dict[str, Any]:
    """The sampling parameters that the backend gets."""
    tensor = to_triton_inputs(COMPLETIONS, {"model": "m", "prompt": "p", **fields}, {})[1]
    return dict(orjson.loads(tensor._get_content()[4:]))


@pytest.mark.parametrize("off", [None, False, "false", "off", 0])
def test_values_are_read_as_vllm_reads_them(off: object) -> None:
    """Flags that are off in any form have no effect, and numbers may be texts."""
    assert sampling(echo=off, logprobs=off, n="1", max_tokens="7")["max_tokens"] == 7
    builder = OpenAIResponseBuilder(COMPLETIONS, {"model": "m", "stream_options": {"include_usage": off}}, "id")
    assert builder.end() == b"data: [DONE]\n\n"


def test_the_requested_usage_is_sent() -> None:
    """A stream whose usage is requested by a text ends with it."""
    builder = OpenAIResponseBuilder(COMPLETIONS, {"model": "m", "stream_options": {"include_usage": "true"}}, "id")
    assert b'"usage":{"prompt_tokens":0' in builder.end()


class LongAnswers(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]  # grpc has no types
    """A server that answers with a short text, and then with texts of 2 MiB."""

    async def ModelStreamInfer(self, requests: Any, _: Any) -> AsyncIterator[Any]:  # noqa: N802
        """Answer one request."""
        async for request in requests:
            for text in (b"a", b"a" * 2 * MAX_RESPONSE_BYTES)[request.id == "whole" :]:
                yield pb.ModelStreamInferResponse(infer_response=answer(text))


def answer(text: bytes) -> Any:
    """A response of the backend."""
    response = pb.ModelInferResponse()
    for name, value in (("text_output", text), ("finish_reason", b"None")):
        response.outputs.add(name=name, datatype="BYTES", shape=[1])
        array = np.array([value], dtype=np.object_)
        response.raw_output_contents.append(serialize_byte_tensor(array).item())
    for name in ("num_input_tokens", "num_output_tokens"):
        response.outputs.add(name=name, datatype="UINT32", shape=[1])
        response.raw_output_contents.append(np.uint32(1).tobytes())
    return response


@asynccontextmanager
async def client() -> AsyncIterator[TritonClient]:
    """A client of the server."""
    server = grpc.aio.server()
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(LongAnswers(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    triton = TritonClient(
        f"triton://127.0.0.1:{port}", WorkerTimeouts(30, 30, 30), {}, max_response_bytes=MAX_RESPONSE_BYTES
    )
    yield triton
    await triton.close()
    await server.stop(None)


async def test_a_response_over_the_limit_is_a_failure() -> None:
    """A whole response of 2 MiB, or such an event of a stream, fails at a limit of 1 MiB."""
    body = orjson.dumps({"model": "m", "prompt": "p"})
    async with client() as triton:
        with pytest.raises(WorkerFailed, match="exceeds SARLENS_WORKER__MAX_RESPONSE_BYTES"):
            await triton.send(COMPLETIONS, body, "whole", {}, stream=False)
        response = await triton.send(COMPLETIONS, body, "stream", {}, stream=True)
        with pytest.raises(WorkerFailed, match="exceeds SARLENS_WORKER__MAX_RESPONSE_BYTES"):
            await response.forward(lambda _: True)
