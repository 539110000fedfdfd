"""Request bodies of the Responses API."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, StringConstraints, Tag

from sarlens.validation import BoundedModel, at_most

MAX_ITEMS = 1000
"""Maximum number of items, of parts of an item, and of tools."""


class TextPart(BaseModel):
    """Text of a message."""

    type: Literal["input_text", "output_text", "text"] = Field(description="Kind of the part.")
    text: str = Field(description="Text.")


class RefusalPart(BaseModel):
    """A refusal of the model in an earlier turn."""

    type: Literal["refusal"] = Field(description="Always `refusal`.")
    refusal: str = Field(description="Text of the refusal.")


class ImagePart(BaseModel):
    """An image by URL or by STAC Item, with the render parameters of Sarlens."""

    type: Literal["input_image"] = Field(description="Always `input_image`.")
    image_url: str | None = Field(None, description="`data:`, `https:` or `s3://` URL.")
    item: dict[str, Any] | None = Field(None, description="STAC Item, instead of a URL.")
    sar: dict[str, Any] | None = Field(None, description="Render parameters, as in chat completions.")
    detail: str | None = Field(None, description="Passed to the worker.")
    file_id: str | None = Field(None, description="Id of an uploaded file, instead of a URL.")


Part = Annotated[TextPart | RefusalPart | ImagePart, Field(discriminator="type")]
Parts = Annotated[list[Part], at_most(MAX_ITEMS)]


class MessageItem(BaseModel):
    """A message; `type` may be missing."""

    type: Literal["message"] = Field("message", description="Always `message`.")
    role: Literal["user", "assistant", "system", "developer"] = Field(description="Author of the message.")
    content: str | Parts = Field(description="Text, or parts of text and images.")


class FunctionCallItem(BaseModel):
    """A call of a function by the model in an earlier turn."""

    type: Literal["function_call"] = Field(description="Always `function_call`.")
    call_id: str = Field(description="Id of the call.")
    name: str = Field(description="Name of the function.")
    arguments: str = Field(description="Arguments as JSON.")


class FunctionOutputItem(BaseModel):
    """The result of a function."""

    type: Literal["function_call_output"] = Field(description="Always `function_call_output`.")
    call_id: str = Field(description="Id of the call.")
    output: str | Parts = Field(description="Result of the function.")


class ReasoningItem(BaseModel):
    """Reasoning of the model in an earlier turn; models don't get it again."""

    type: Literal["reasoning"] = Field(description="Always `reasoning`.")


Item = Annotated[
    Annotated[MessageItem, Tag("message")]
    | Annotated[FunctionCallItem, Tag("function_call")]
    | Annotated[FunctionOutputItem, Tag("function_call_output")]
    | Annotated[ReasoningItem, Tag("reasoning")],
    Discriminator(lambda item: item.get("type", "message") if isinstance(item, dict) else None),
]


class Format(BaseModel):
    """Format of a text."""

    type: Literal["text", "json_object", "json_schema"] = Field("text", description="Kind of the format.")
    name: str | None = Field(None, description="Name of the schema.")
    json_schema: dict[str, Any] | None = Field(None, alias="schema", description="JSON Schema of `json_schema`.")
    strict: bool | None = Field(None, description="Passed to the worker.")


class Text(BaseModel):
    """Options of the text."""

    format: Format = Field(default_factory=Format, description="Format of the answer.")


class Reasoning(BaseModel):
    """Options of reasoning models."""

    effort: str | None = Field(None, description="Passed to the worker as `reasoning_effort`.")


class FunctionTool(BaseModel):
    """A function that the model can call."""

    type: Literal["function"] = Field(description="Always `function`.")
    name: str = Field(description="Name of the function.")
    description: str | None = Field(None, description="Purpose of the function.")
    parameters: dict[str, Any] | None = Field(None, description="JSON Schema of the arguments.")
    strict: bool | None = Field(None, description="Passed to the worker.")


class ToolName(BaseModel):
    """A function that the model must call."""

    type: Literal["function"] = Field(description="Always `function`.")
    name: str = Field(description="Name of the function.")


class ResponseBody(BoundedModel):
    """Body of ``POST /v1/responses``. Further fields are passed to the worker, such as ``seed`` and ``top_k``."""

    model_config = ConfigDict(extra="allow")

    model: str | None = Field(None, description="Name of the model; may be missing if there is only one.")
    input: str | Annotated[list[Item], at_most(MAX_ITEMS)] = Field(description="Text, or messages and tool results.")
    instructions: str | None = Field(None, description="System message before the input.")
    max_output_tokens: int | None = Field(None, ge=1, description="Maximum number of tokens of the response.")
    temperature: float | None = Field(None, description="Sampling temperature.")
    top_p: float | None = Field(None, description="Probability mass that tokens are sampled from.")
    stream: bool | None = Field(None, description="Whether the response is a stream of events.")
    text: Text = Field(default_factory=Text, description="Format of the text: `json_schema` is a structured output.")
    reasoning: Reasoning | None = Field(None, description="Options of reasoning models.")
    tools: Annotated[list[FunctionTool], at_most(MAX_ITEMS)] = Field([], description="Functions only.")
    tool_choice: Literal["auto", "none", "required"] | ToolName = Field(
        "auto", description="Which function the model calls."
    )
    parallel_tool_calls: bool = Field(True, description="Whether the model may call several functions at once.")
    top_logprobs: int | None = Field(None, ge=0, le=20, description="Alternatives of each token.")
    include: list[str] = Field([], description="`message.output_text.logprobs` adds log-probabilities.")
    metadata: dict[str, str] | None = Field(None, description="Repeated in the response.")
    user: str | None = Field(None, description="Passed to the worker.")
    store: bool | None = Field(
        None,
        description="Whether the response is stored, if the gateway stores responses; else the answer is `false`.",
    )
    previous_response_id: Annotated[str, StringConstraints(min_length=1, max_length=96)] | None = Field(
        None, description="Stored response whose conversation the request continues."
    )
    background: bool | None = Field(None, description="Not supported.")
    conversation: str | dict[str, Any] | None = Field(None, description="Not supported.")
    prompt: dict[str, Any] | None = Field(None, description="Not supported.")
