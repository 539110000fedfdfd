"""Translation between OpenAI requests and the tensors of Triton's vLLM backend.

Names, types and meanings of the tensors are those of ``src/model.py`` and ``src/utils/request.py`` of
github.com/triton-inference-server/vllm_backend as of release 25.12.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import orjson
from jinja2 import Template
from tritonclient.grpc import InferInput

from sarlens.chat.lax_values import read_boolean, read_integer, requests_usage
from sarlens.chat.paths import CHAT_PATH
from sarlens.errors import BadRequest
from sarlens.workers.clients.chat_template import apply_chat_template

_OUTPUTS = ("exclude_input_in_output", "return_finish_reason", "return_num_input_tokens", "return_num_output_tokens")
_SAMPLING = frozenset(
    {"temperature", "top_p", "top_k", "min_p", "seed", "stop", "presence_penalty", "frequency_penalty"}
    | {"repetition_penalty", "stop_token_ids", "ignore_eos", "min_tokens", "skip_special_tokens"}
)
_IGNORED_FIELDS = frozenset(
    {"model", "messages", "prompt", "stream", "stream_options", "user", "store", "metadata", "priority"}
    | {"max_tokens", "max_completion_tokens"}
)
_DEFAULT_MAX_TOKENS = 65_536
"""Maximum number of tokens if a request sets none; the backend's own default is 16."""


class TritonChunk(NamedTuple):
    """One response of the backend."""

    text: str
    """Text to append."""
    prompt_tokens: int
    completion_tokens: int
    finish_reason: str | None
    """Reason of the end, or None if more chunks follow."""


def to_triton_inputs(path: str, document: Mapping[str, Any], templates: Mapping[str, Template]) -> list[InferInput]:
    """Return the input tensors for a chat or text completion.

    Raises:
        BadRequest: the backend doesn't support a field of the request.
    """
    images: list[str] = []
    prompt: Any = document.get("prompt")
    if path == CHAT_PATH:
        messages = [_plain(message, images) for message in document["messages"]]
        prompt = apply_chat_template(templates[document["model"]], messages)
    if not isinstance(prompt, str):
        raise BadRequest("The Triton worker of this model accepts one prompt per request.", param="prompt")
    inputs = [_bytes("text_input", [prompt.encode()]), _bytes("sampling_parameters", [_sampling(document)])]
    if images:
        inputs.append(_bytes("image", [image.encode() for image in images]))
    flags = {"stream": read_boolean(document.get("stream")) is True} | dict.fromkeys(_OUTPUTS, True)
    return inputs + [_flag(name, value) for name, value in flags.items()]


def parse_chunk(result: Any) -> TritonChunk:
    """Parse the output tensors of one response."""
    columns = {name: result.as_numpy(name) for name in ("finish_reason", "num_input_tokens", "num_output_tokens")}
    finish_reason = columns["finish_reason"].item().decode()
    prompt_tokens, completion_tokens = (int(columns[name].item()) for name in ("num_input_tokens", "num_output_tokens"))
    text = result.as_numpy("text_output").item().decode()
    return TritonChunk(text, prompt_tokens, completion_tokens, None if finish_reason == "None" else finish_reason)


class OpenAIResponseBuilder:
    """Builds OpenAI responses from chunks: one document, or the events of a stream."""

    def __init__(self, path: str, document: Mapping[str, Any], request_id: str) -> None:
        self._chat = path == CHAT_PATH
        object_type = ("chat.completion" if self._chat else "text_completion") + (
            ".chunk" if self._chat and read_boolean(document.get("stream")) is True else ""
        )
        self._head = {"id": request_id, "object": object_type, "created": int(time.time()), "model": document["model"]}
        self._include_usage = requests_usage(document) is True
        self._prompt_tokens = self._completion_tokens = 0

    def body(self, chunk: TritonChunk) -> bytes:
        """Build a complete response."""
        self._count(chunk)
        message = {"message": {"role": "assistant", "content": chunk.text}} if self._chat else {"text": chunk.text}
        choice = {"index": 0, **message, "logprobs": None, "finish_reason": chunk.finish_reason}
        return orjson.dumps({**self._head, "choices": [choice], "usage": self._usage})

    def event(self, chunk: TritonChunk) -> bytes:
        """Build one event of a stream."""
        self._count(chunk)
        delta = {"delta": {"role": "assistant", "content": chunk.text}} if self._chat else {"text": chunk.text}
        choice = {"index": 0, **delta, "logprobs": None, "finish_reason": chunk.finish_reason}
        return _event({**self._head, "choices": [choice]})

    def end(self) -> bytes:
        """Build the last events of a stream."""
        usage = _event({**self._head, "choices": [], "usage": self._usage}) if self._include_usage else b""
        return usage + b"data: [DONE]\n\n"

    @property
    def _usage(self) -> dict[str, int]:
        return {
            "prompt_tokens": self._prompt_tokens,
            "total_tokens": self._prompt_tokens + self._completion_tokens,
            "completion_tokens": self._completion_tokens,
        }

    def _count(self, chunk: TritonChunk) -> None:
        self._prompt_tokens = chunk.prompt_tokens
        self._completion_tokens += chunk.completion_tokens


def openai_error(message: str, code: int = 400) -> bytes:
    """Return the OpenAI error object for a request that the backend rejects."""
    error_type = "NotFoundError" if code == 404 else "BadRequestError"
    return orjson.dumps({"error": {"message": message, "type": error_type, "param": None, "code": code}})


def _event(document: Mapping[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(document) + b"\n\n"


def _plain(message: Mapping[str, Any], images: list[str]) -> dict[str, Any]:
    """Return a message as chat templates expect it; append the base64 of its images to ``images``."""
    content = message["content"]
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    parts: list[Any] = []
    for part in content:
        if part.get("type") != "image_url":
            parts.append(part)
            continue
        image = part["image_url"]
        url = image["url"] if isinstance(image, Mapping) else image
        images.append(url.partition(",")[2])
        parts.append({"type": "image"})
    return {**message, "content": parts}


def _sampling(document: Mapping[str, Any]) -> bytes:
    """Return the tensor ``sampling_parameters``: vLLM's sampling parameters as JSON."""
    limits = (read_integer(document.get(name)) for name in ("max_completion_tokens", "max_tokens"))
    limit = next(filter(None, limits), _DEFAULT_MAX_TOKENS)
    sampling: dict[str, Any] = {"max_tokens": limit, "temperature": 1.0}
    for name, value in document.items():
        if name in _SAMPLING and value is not None:
            sampling[name] = value
        elif name == "structured_outputs" and value is not None:
            sampling[name] = orjson.dumps(value).decode()
        elif name not in _IGNORED_FIELDS and not _is_default(name, value):
            raise BadRequest(f"{name[:100]} isn't supported by the Triton worker of this model.", param=name[:100])
    return orjson.dumps(sampling)


def _is_default(name: str, value: object) -> bool:
    """Return whether a field that the backend doesn't support has no effect: ``n`` of 1, or a flag that is off."""
    return value is None or read_boolean(value) is False or (name == "n" and read_integer(value) == 1)


def _bytes(name: str, elements: Sequence[bytes]) -> InferInput:
    tensor = InferInput(name, [len(elements)], "BYTES")
    tensor.set_data_from_numpy(np.array(elements, dtype=np.object_))
    return tensor


def _flag(name: str, value: bool) -> InferInput:
    tensor = InferInput(name, [1], "BOOL")
    tensor.set_data_from_numpy(np.array([value]))
    return tensor
