"""Server with the protocol of Triton's vLLM backend and a vLLM engine (AsyncLLM), for machines without Triton.

The protocol follows ``src/model.py`` and ``src/utils/request.py`` of github.com/triton-inference-server/vllm_backend
(release 25.12). The model is decoupled.

- Inputs: ``text_input``, ``image`` (base64), ``stream``, ``sampling_parameters``, ``exclude_input_in_output`` and
  ``return_*``.
- Outputs: ``text_output``, ``finish_reason``, ``num_input_tokens`` and ``num_output_tokens``.

    python tests/support/workers/triton_server.py MODEL_DIRECTORY PORT
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
    """Return the inputs of a request by name."""
    inputs: dict[str, Any] = {}
    for tensor, raw in zip(request.inputs, request.raw_input_contents, strict=True):
        inputs[tensor.name] = deserialize_bytes_tensor(raw) if tensor.datatype == "BYTES" else np.frombuffer(raw, bool)
        assert list(tensor.shape) == [inputs[tensor.name].size], tensor.name
    return inputs


def sampling(text: str) -> SamplingParams:
    """Parse the sampling parameters of a request."""
    parameters = json.loads(text)
    if "structured_outputs" in parameters:
        parameters["structured_outputs"] = StructuredOutputsParams(**json.loads(parameters["structured_outputs"]))
    return SamplingParams(**parameters)


class Triton(service_pb2_grpc.GRPCInferenceServiceServicer):
    """Inference service of one model."""

    def __init__(self, model: str, engine: AsyncLLM) -> None:
        self.model = model
        self.engine = engine

    async def ServerReady(self, request: Any, context: Any) -> Any:  # noqa: N802  names of the protocol
        """Return ready."""
        return pb.ServerReadyResponse(ready=True)

    async def RepositoryIndex(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Return the model, and one that failed to load."""
        entry = pb.RepositoryIndexResponse.ModelIndex
        broken = entry(name="broken", version="1", state="UNAVAILABLE", reason="it does not load")
        return pb.RepositoryIndexResponse(models=[entry(name=self.model, version="1", state="READY"), broken])

    async def ModelStreamInfer(self, requests: AsyncIterator[Any], context: Any) -> None:  # noqa: N802
        """Run decoupled inference, with one response per output of the engine, or one in total."""
        async for request in requests:
            try:
                async for response in self.responses(request):
                    await context.write(pb.ModelStreamInferResponse(infer_response=response))
            except Exception as error:  # noqa: BLE001  as in the backend
                message = f"Error generating stream: {error}"
                await context.write(pb.ModelStreamInferResponse(error_message=message))

    async def responses(self, request: Any) -> AsyncIterator[Any]:
        """Yield the responses of the backend to a request."""
        inputs = tensors(request)
        prompt: Any = inputs["text_input"][0].decode()
        if "image" in inputs:
            images = [Image.open(io.BytesIO(base64.b64decode(image))).convert("RGB") for image in inputs["image"]]
            prompt = {"prompt": prompt, "multi_modal_data": {"image": images}}
        stream = bool(inputs["stream"][0])
        assert stream or inputs["exclude_input_in_output"][0]
        flags = [flag for flag in _FLAGS if flag in inputs and inputs[flag][0]]
        state = {"text": 0, "tokens": 0}
        last = None
        parameters = sampling(inputs["sampling_parameters"][0].decode())
        async for last in self.engine.generate(prompt, parameters, uuid4().hex):
            if stream:
                yield self.response(request, last, state, flags)
        if not stream:
            yield self.response(request, last, state, flags)

    def response(self, request: Any, output: Any, state: dict[str, int], flags: list[str]) -> Any:
        """Return a response with the output since the last one."""
        (one,) = output.outputs
        columns: dict[str, tuple[str, Any]] = {"text_output": ("BYTES", one.text[state["text"] :].encode())}
        if "return_finish_reason" in flags:
            columns["finish_reason"] = ("BYTES", str(one.finish_reason).encode())
        if "return_num_input_tokens" in flags:
            columns["num_input_tokens"] = ("UINT32", len(output.prompt_token_ids))
        if "return_num_output_tokens" in flags:
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
    """Serve until the process ends."""
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
