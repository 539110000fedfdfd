"""The tensors of Triton's vLLM back end: a chat goes in, OpenAI's JSON comes out.

Names, types and meanings are those of ``src/model.py`` and ``src/utils/request.py`` of
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

from sarlens.errors import BadRequest
from sarlens.workers.template import prompt_of

CHAT = "/v1/chat/completions"
_WANTED = ("exclude_input_in_output", "return_finish_reason", "return_num_input_tokens", "return_num_output_tokens")
_SAMPLING = frozenset(
    {"temperature", "top_p", "top_k", "min_p", "seed", "stop", "presence_penalty", "frequency_penalty"}
    | {"repetition_penalty", "stop_token_ids", "ignore_eos", "min_tokens", "skip_special_tokens"}
)
_SILENT = frozenset(
    {"model", "messages", "prompt", "stream", "stream_options", "user", "store", "metadata"}
    | {"max_tokens", "max_completion_tokens"}
)
_UNBOUNDED = 65_536
"""Tokens where a chat names no limit: the back end would write 16, and stops at the model's length anyway."""


class Piece(NamedTuple):
    """One response of the back end: text to add, tokens, and why it ended, if it did."""

    text: str
    read: int
    written: int
    finish: str | None


def inputs_of(path: str, document: Mapping[str, Any], templates: Mapping[str, Template]) -> list[InferInput]:
    """The input tensors of a chat, or of a text to continue.

    Raises:
        BadRequest: it asks for something that the back end cannot do.
    """
    images: list[str] = []
    prompt: Any = document.get("prompt")
    if path == CHAT:
        messages = [_plain(message, images) for message in document["messages"]]
        prompt = prompt_of(templates[document["model"]], messages)
    if not isinstance(prompt, str):
        raise BadRequest("This model's worker continues one text at a time.", param="prompt")
    inputs = [_bytes("text_input", [prompt.encode()]), _bytes("sampling_parameters", [_sampling(document)])]
    if images:
        inputs.append(_bytes("image", [image.encode() for image in images]))
    flags = {"stream": document.get("stream") is True} | dict.fromkeys(_WANTED, True)
    return inputs + [_flag(name, value) for name, value in flags.items()]


def piece_of(result: Any) -> Piece:
    """What a response says."""
    columns = {name: result.as_numpy(name) for name in ("finish_reason", "num_input_tokens", "num_output_tokens")}
    finish = columns["finish_reason"].item().decode()
    read, written = (int(columns[name].item()) for name in ("num_input_tokens", "num_output_tokens"))
    return Piece(result.as_numpy("text_output").item().decode(), read, written, None if finish == "None" else finish)


class Wording:
    """Writes pieces as OpenAI's JSON: one document, or the events of a stream."""

    def __init__(self, path: str, document: Mapping[str, Any], request_id: str) -> None:
        self._chat = path == CHAT
        kind = ("chat.completion" if self._chat else "text_completion") + (
            ".chunk" if self._chat and document.get("stream") else ""
        )
        self._head = {"id": request_id, "object": kind, "created": int(time.time()), "model": document["model"]}
        self._usage_wanted = bool((document.get("stream_options") or {}).get("include_usage"))
        self._read = self._written = 0

    def whole(self, piece: Piece) -> bytes:
        """An answer in one piece."""
        self._count(piece)
        said = {"message": {"role": "assistant", "content": piece.text}} if self._chat else {"text": piece.text}
        choice = {"index": 0, **said, "logprobs": None, "finish_reason": piece.finish}
        return orjson.dumps({**self._head, "choices": [choice], "usage": self._usage})

    def event(self, piece: Piece) -> bytes:
        """One event of a stream."""
        self._count(piece)
        said = {"delta": {"role": "assistant", "content": piece.text}} if self._chat else {"text": piece.text}
        choice = {"index": 0, **said, "logprobs": None, "finish_reason": piece.finish}
        return _event({**self._head, "choices": [choice]})

    def end(self) -> bytes:
        """The end of a stream."""
        usage = _event({**self._head, "choices": [], "usage": self._usage}) if self._usage_wanted else b""
        return usage + b"data: [DONE]\n\n"

    @property
    def _usage(self) -> dict[str, int]:
        return {
            "prompt_tokens": self._read,
            "total_tokens": self._read + self._written,
            "completion_tokens": self._written,
        }

    def _count(self, piece: Piece) -> None:
        self._read = piece.read
        self._written += piece.written


def refusal(message: str) -> bytes:
    """OpenAI's error object for what the back end does not take."""
    return orjson.dumps({"error": {"message": message, "type": "BadRequestError", "param": None, "code": 400}})


def _event(document: Mapping[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(document) + b"\n\n"


def _plain(message: Mapping[str, Any], images: list[str]) -> dict[str, Any]:
    """A message as templates take it; the base64 of its images goes to ``images``, in order."""
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
    """``sampling_parameters``: vLLM's, as JSON; structured outputs are JSON inside it."""
    limit = document.get("max_completion_tokens") or document.get("max_tokens") or _UNBOUNDED
    given: dict[str, Any] = {"max_tokens": limit, "temperature": 1.0}
    for name, value in document.items():
        if name in _SAMPLING and value is not None:
            given[name] = value
        elif name == "structured_outputs" and value is not None:
            given[name] = orjson.dumps(value).decode()
        elif name not in _SILENT and value not in (None, False) and (name, value) != ("n", 1):
            raise BadRequest(f"This model's worker, a Triton server, does not take {name[:100]!r}.", param=name[:100])
    return orjson.dumps(given)


def _bytes(name: str, elements: Sequence[bytes]) -> InferInput:
    tensor = InferInput(name, [len(elements)], "BYTES")
    tensor.set_data_from_numpy(np.array(elements, dtype=np.object_))
    return tensor


def _flag(name: str, value: bool) -> InferInput:
    tensor = InferInput(name, [1], "BOOL")
    tensor.set_data_from_numpy(np.array([value]))
    return tensor
