"""Translation of any request and of any chunk: never another error than the documented ones."""

from __future__ import annotations

from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from sarlens.api.common.schemas import parse_body
from sarlens.api.messages.request import to_chat as message_to_chat
from sarlens.api.messages.schemas import MessageBody
from sarlens.api.responses.request import to_chat
from sarlens.api.responses.schemas import ResponseBody
from sarlens.chat.parse import chat_request_of
from sarlens.errors import SarlensError

SCALARS = st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["", "x", "data:image/png;base64,AA=="])
TYPES = ["input_text", "output_text", "input_image", "refusal", "text", "image", "tool_use", "tool_result"]
ITEM_TYPES = ["message", "function_call", "function_call_output", "reasoning"]
FIELDS = ["type", "role", "content", "text", "image_url", "source", "url", "data", "call_id", "name", "output", "sar"]
WORDS = st.sampled_from([*TYPES, *ITEM_TYPES, *FIELDS])
VALUES = st.recursive(
    SCALARS | WORDS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=5), max_leaves=8
)
PARTS = st.lists(
    st.fixed_dictionaries(
        {"type": st.sampled_from(TYPES)},
        optional={
            "text": SCALARS,
            "image_url": VALUES,
            "source": VALUES,
            "sar": VALUES,
            "item": VALUES,
            "name": VALUES,
        },
    ),
    max_size=3,
)
ITEMS = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "system", "developer"]), "content": SCALARS | PARTS | VALUES},
    optional={"type": st.sampled_from(ITEM_TYPES), "call_id": SCALARS, "output": PARTS},
)


@given(st.dictionaries(st.sampled_from([*ResponseBody.model_fields, "n", "seed"]), VALUES), st.lists(ITEMS | VALUES))
def test_any_response_request_is_translated_or_rejected(fields: dict[str, Any], items: list[Any]) -> None:
    """A body becomes a chat request with a message for each item, or an error of the gateway."""
    try:
        chat = to_chat(parse_body(ResponseBody, orjson.dumps({"input": items, **fields})))
        chat_request_of("/v1/chat/completions", chat, "id", size=1, max_images=8)
    except SarlensError as error:
        assert error.status in {400, 403, 413}
        return
    assert all(message["role"] in {"user", "assistant", "system", "tool"} for message in chat["messages"])
    assert "n" not in chat


@given(st.dictionaries(st.sampled_from([*MessageBody.model_fields, "n"]), VALUES), st.lists(ITEMS | VALUES))
def test_any_message_request_is_translated_or_rejected(fields: dict[str, Any], items: list[Any]) -> None:
    """A body becomes a chat request, or an error of the gateway; fields that the API doesn't have reach no worker."""
    try:
        body = {"model": "m", "max_tokens": 1, "messages": items, **fields}
        chat = message_to_chat(parse_body(MessageBody, orjson.dumps(body)))
        chat_request_of("/v1/chat/completions", chat, "id", size=1, max_images=8)
    except SarlensError as error:
        assert error.status in {400, 403, 413}
        return
    assert "n" not in chat
