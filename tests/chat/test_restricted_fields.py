"""Fields that only an operator may set."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from sarlens.chat.compose import build_worker_body
from sarlens.chat.parse import parse_chat_request
from sarlens.chat.restricted_fields import is_restricted

RESTRICTED = {
    *("priority", "request_id", "session_id", "cache_salt", "kv_transfer_params", "ec_transfer_params", "vllm_xargs"),
    *("chat_template", "chat_template_kwargs", "documents", "watermarking", "prompt_embeds"),
    *("mm_processor_kwargs", "media_io_kwargs", "mm_payload", "return_mm_kwargs"),
}
"""Restricted fields of vLLM 0.32."""
OTHERS = {
    *(
        "nixl_transfer_params",
        "image_embeds",
        "mm_uuids",
        "image_uuid",
        "uuid",
        "uuids",
        "image_pil",
        "extra_key",
        "rid",
    ),
    *("bootstrap_host", "bootstrap_room", "data_parallel_rank", "routed_dp_rank", "lora_path", "session_params"),
    *("logits_processors", "custom_logit_processor", "custom_params"),
}
"""Fields of other versions and servers."""


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
@pytest.mark.parametrize("name", sorted(RESTRICTED | OTHERS))
def test_a_restricted_field_does_not_reach_the_worker(path: str, name: str) -> None:
    """The field is removed and listed; a caller that may send it has its bytes forwarded unchanged."""
    body = b'{ "model":"m", "%s": {"a": 1},"messages": [],"prompt":"p"}' % name.encode()
    request = parse_chat_request(path, body, "id", max_images=1)
    body_for_worker = build_worker_body(request, (), image_first=True)
    assert orjson.loads(body_for_worker) == {"model": "m", "messages": [], "prompt": "p"} == request.document
    assert request.ignored_fields == (name,)
    allowed = parse_chat_request(path, body, "id", max_images=1, allowed_fields={name})
    assert (allowed.body is body, allowed.ignored_fields) == (True, ())


def test_duplicate_and_escaped_names_are_removed_too() -> None:
    """JSON that names a field twice or with escapes is rewritten without the field."""
    body = b'{"priority": 0, "\\u0070riority": -5, "model": "m"}'
    request = parse_chat_request("/v1/completions", body, "id", max_images=1)
    assert request.body is None
    assert build_worker_body(request, (), image_first=True) == b'{"model":"m"}'


def fields_of_vllm(api: str, name: str) -> Iterator[str]:
    """The fields of a request of the installed vLLM, read without its import."""
    spec = importlib.util.find_spec("vllm")
    if spec is None or spec.origin is None:
        pytest.skip("vLLM isn't installed")
    source = Path(spec.origin).parent / "entrypoints" / "openai" / api / "protocol.py"
    for node in ast.parse(source.read_text()).body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            for line in node.body:
                if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
                    yield line.target.id


OPEN = {
    *("messages", "prompt", "model", "stream", "stream_options", "n", "user", "suffix", "echo", "seed", "stop"),
    *("frequency_penalty", "presence_penalty", "repetition_penalty", "length_penalty", "logit_bias", "temperature"),
    *("top_p", "top_k", "min_p", "use_beam_search", "bad_words", "allowed_token_ids", "ignore_eos"),
    *("logprobs", "top_logprobs", "prompt_logprobs", "logprob_token_ids", "max_tokens", "max_completion_tokens"),
    *("min_tokens", "stop_token_ids", "include_stop_str_in_output", "skip_special_tokens"),
    *("spaces_between_special_tokens", "truncate_prompt_tokens", "truncation_side", "response_format"),
    *("structured_outputs", "tools", "tool_choice", "parallel_tool_calls", "reasoning_effort", "include_reasoning"),
    *("thinking_token_budget", "add_generation_prompt", "continue_final_message", "add_special_tokens"),
    *("return_tokens_as_token_ids", "return_token_ids", "return_token_offsets", "return_prompt_text"),
    *("routed_experts_prompt_start", "repetition_detection", "stream_interval"),
}
"""Fields that every caller may send: content, sampling, and the form of the answer."""


@pytest.mark.parametrize(
    ("api", "name"), [("chat_completion", "ChatCompletionRequest"), ("completion", "CompletionRequest")]
)
def test_every_field_of_vllm_is_open_or_restricted(api: str, name: str) -> None:
    """A new version of vLLM fails this test until its new fields are judged."""
    fields = {field for field in fields_of_vllm(api, name) if not field.startswith("_")}
    assert len(fields) > 40
    assert {field for field in fields if is_restricted(field)} == fields & RESTRICTED
    assert fields - RESTRICTED - OPEN == set()
    assert not any(map(is_restricted, OPEN))
