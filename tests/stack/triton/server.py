"""A stand-in for Triton with its vLLM back end: the protocol of the one before the engine of the other.

Triton's container does not run everywhere; this serves what ``src/model.py`` and ``src/utils/request.py`` of
github.com/triton-inference-server/vllm_backend (release 25.12) say: decoupled, the inputs ``text_input``, ``image``
(base64), ``stream``, ``sampling_parameters``, ``exclude_input_in_output`` and ``return_*``, the outputs
``text_output``, ``finish_reason``, ``num_input_tokens`` and ``num_output_tokens``. The engine is vLLM's own AsyncLLM.

    python tests/stack/triton/server.py MODEL_DIRECTORY PORT
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc.aio
import numpy as np
from PIL import Image
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc
from tritonclient.utils import deserialize_bytes_tensor, serialize_byte_tensor
from vllm import SamplingParams
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.sampling_params import StructuredOutputsParams
from vllm.v1.engine.async_llm import AsyncLLM

_FLAGS = ("return_finish_reason", "return_num_input_tokens", "return_num_output_tokens")


def tensors(request: Any) -> dict[str, Any]:
    """The inputs by name."""
    found = {}
    for tensor, raw in zip(request.inputs, request.raw_input_contents, strict=True):
        found[tensor.name] = deserialize_bytes_tensor(raw) if tensor.datatype == "BYTES" else np.frombuffer(raw, bool)
        assert list(tensor.shape) == [found[tensor.name].size], tensor.name
    return found


def sampling(text: str) -> SamplingParams:
    """The sampling parameters of a request."""
    given = json.loads(text)
    if "structured_outputs" in given:
        given["structured_outputs"] = StructuredOutputsParams(**json.loads(given["structured_outputs"]))
    return SamplingParams(**given)


class Triton(service_pb2_grpc.GRPCInferenceServiceServicer):
    """The server."""

    def __init__(self, model: str, engine: AsyncLLM) -> None:
        self.model = model
        self.engine = engine

    async def ServerReady(self, request: Any, context: Any) -> Any:  # noqa: N802  the protocol's names
        """Ready as soon as it answers."""
        return pb.ServerReadyResponse(ready=True)

    async def RepositoryIndex(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Its model, and one that failed to load."""
        entry = pb.RepositoryIndexResponse.ModelIndex
        broken = entry(name="broken", version="1", state="UNAVAILABLE", reason="it does not load")
        return pb.RepositoryIndexResponse(models=[entry(name=self.model, version="1", state="READY"), broken])

    async def ModelStreamInfer(self, requests: AsyncIterator[Any], context: Any) -> None:  # noqa: N802
        """Decoupled inference: as many responses as the engine has outputs, or one."""
        async for request in requests:
            try:
                async for response in self.responses(request):
                    await context.write(pb.ModelStreamInferResponse(infer_response=response))
            except Exception as error:  # noqa: BLE001  as the back end does
                message = f"Error generating stream: {error}"
                await context.write(pb.ModelStreamInferResponse(error_message=message))

    async def responses(self, request: Any) -> AsyncIterator[Any]:
        """What the back end answers to a request."""
        given = tensors(request)
        prompt: Any = given["text_input"][0].decode()
        if "image" in given:
            images = [Image.open(io.BytesIO(base64.b64decode(each))).convert("RGB") for each in given["image"]]
            prompt = {"prompt": prompt, "multi_modal_data": {"image": images}}
        stream = bool(given["stream"][0])
        assert stream or given["exclude_input_in_output"][0]
        wanted = [flag for flag in _FLAGS if flag in given and given[flag][0]]
        state = {"text": 0, "tokens": 0}
        last = None
        parameters = sampling(given["sampling_parameters"][0].decode())
        async for last in self.engine.generate(prompt, parameters, uuid4().hex):
            if stream:
                yield self.response(request, last, state, wanted)
        if not stream:
            yield self.response(request, last, state, wanted)

    def response(self, request: Any, output: Any, state: dict[str, int], wanted: list[str]) -> Any:
        """What came since the last response."""
        (one,) = output.outputs
        columns: dict[str, tuple[str, Any]] = {"text_output": ("BYTES", one.text[state["text"] :].encode())}
        if "return_finish_reason" in wanted:
            columns["finish_reason"] = ("BYTES", str(one.finish_reason).encode())
        if "return_num_input_tokens" in wanted:
            columns["num_input_tokens"] = ("UINT32", len(output.prompt_token_ids))
        if "return_num_output_tokens" in wanted:
            columns["num_output_tokens"] = ("UINT32", len(one.token_ids) - state["tokens"])
        state["text"], state["tokens"] = len(one.text), len(one.token_ids)
        response = pb.ModelInferResponse(id=request.id, model_name=self.model, model_version="1")
        for name, (datatype, value) in columns.items():
            response.outputs.add(name=name, datatype=datatype, shape=[1])
            array = np.array([value], dtype=np.object_ if datatype == "BYTES" else np.uint32)
            raw = serialize_byte_tensor(array).item() if datatype == "BYTES" else array.tobytes()
            response.raw_output_contents.append(raw)
        return response


async def main(directory: Path, port: int) -> None:
    """Serve until the process is ended."""
    engine = AsyncLLM.from_engine_args(
        AsyncEngineArgs(
            model=str(directory),
            enforce_eager=True,
            distributed_executor_backend="uni",
            block_size=32,
            max_model_len=4096,
            kv_cache_memory_bytes=128 * 2**20,
            max_num_seqs=32,
            skip_mm_profiling=True,
            limit_mm_per_prompt={"image": 4},
        )
    )
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", -1)])
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(Triton(directory.name, engine), server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
