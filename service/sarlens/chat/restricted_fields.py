"""Fields of a request that only an operator may set, such as the scheduling and the caches of workers."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

_RESTRICTED = re.compile(
    r"priority|request_id|session_id|cache_salt"  # order and identity of a request at the worker
    r"|\w+_transfer_params|vllm_xargs"  # connections and extensions of the worker
    r"|documents|chat_template|watermarking"  # the operator's prompt and output
    r"|mm_\w+|\w+_(?:kwargs|embeds|uuids?|pil)|uuids?"  # tensors, cache keys, and arguments of the worker's libraries
    r"|rid|extra_key|session_params|lora_path|bootstrap_\w+|\w*(?:dp|data_parallel)_rank"  # as SGLang names them
    r"|logits_processors|custom_logit_processor|custom_params",  # code that the worker loads
    re.ASCII,
)

_USUAL = frozenset(
    {"model", "messages", "prompt", "stream", "stream_options", "max_tokens", "max_completion_tokens", "temperature"}
    | {"top_p", "seed", "n", "stop", "tools", "tool_choice", "response_format", "user"}
)
"""Fields that aren't restricted and that most requests have, so that these requests cost one comparison of sets."""


def is_restricted(name: str) -> bool:
    """Return whether only an operator may set a field, unless the caller's API key allows the field."""
    return _RESTRICTED.fullmatch(name) is not None


def restricted_fields(document: Mapping[str, object], allowed: Collection[str]) -> tuple[str, ...]:
    """Return the restricted fields of a body that ``allowed`` doesn't name, in their order."""
    if document.keys() <= _USUAL:
        return ()
    return tuple(name for name in document if is_restricted(name) and name not in allowed)
