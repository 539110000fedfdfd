"""Request bodies of the Messages API."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from sarlens.validation import BoundedModel, at_most

MAX_ITEMS = 1000
"""Maximum number of messages, of blocks of a message, and of tools."""


class Base64Source(BaseModel):
    """The bytes of an image."""

    type: Literal["base64"] = Field(description="Always `base64`.")
    media_type: str = Field(pattern=r"^image/[\w.+-]{1,64}$", description="Media type, such as `image/png`.")
    data: str = Field(description="Bytes of the image in base64.")


class UrlSource(BaseModel):
    """The address of an image."""

    type: Literal["url"] = Field(description="Always `url`.")
    url: str = Field(description="`https:` or `s3://` URL.")


class ItemSource(BaseModel):
    """A STAC Item; an extension of Sarlens."""

    type: Literal["item"] = Field(description="Always `item`.")
    item: dict[str, Any] = Field(description="STAC Item.")


class TextBlock(BaseModel):
    """Text."""

    type: Literal["text"] = Field(description="Always `text`.")
    text: str = Field(description="Text.")


class ImageBlock(BaseModel):
    """An image, with the render parameters of Sarlens."""

    type: Literal["image"] = Field(description="Always `image`.")
    source: Annotated[Base64Source | UrlSource | ItemSource, Field(discriminator="type")] = Field(
        description="Location of the image."
    )
    sar: dict[str, Any] | None = Field(None, description="Render parameters, as in chat completions.")


class ToolUseBlock(BaseModel):
    """A call of a tool by the model in an earlier turn."""

    type: Literal["tool_use"] = Field(description="Always `tool_use`.")
    id: str = Field(description="Id of the call.")
    name: str = Field(description="Name of the tool.")
    input: dict[str, Any] = Field(description="Arguments of the call.")


ResultBlock = Annotated[TextBlock | ImageBlock, Field(discriminator="type")]


class ToolResultBlock(BaseModel):
    """The result of a tool."""

    type: Literal["tool_result"] = Field(description="Always `tool_result`.")
    tool_use_id: str = Field(description="Id of the call.")
    content: str | Annotated[list[ResultBlock], at_most(MAX_ITEMS)] = Field("", description="Result of the tool.")
    is_error: bool = Field(False, description="Whether the tool failed; models get the result only.")


class ThinkingBlock(BaseModel):
    """Reasoning of the model in an earlier turn; models don't get it again."""

    type: Literal["thinking", "redacted_thinking"] = Field(description="`thinking` or `redacted_thinking`.")


Block = Annotated[TextBlock | ImageBlock | ToolUseBlock | ToolResultBlock | ThinkingBlock, Field(discriminator="type")]


class InputMessage(BaseModel):
    """A message of the conversation."""

    role: Literal["user", "assistant"] = Field(description="Author of the message.")
    content: str | Annotated[list[Block], at_most(MAX_ITEMS)] = Field(
        description="Text, or blocks of text, images and tools."
    )


class Tool(BaseModel):
    """A tool that the model can use."""

    name: str = Field(description="Name of the tool.")
    description: str | None = Field(None, description="Purpose of the tool.")
    input_schema: dict[str, Any] = Field(description="JSON Schema of the arguments.")
    type: Literal["custom"] | None = Field(None, description="Only the caller's own tools.")


class ToolChoice(BaseModel):
    """Which tool the model uses."""

    type: Literal["auto", "any", "tool", "none"] = Field(
        description="`any` requires some tool, and `tool` the one in `name`."
    )
    name: str | None = Field(None, description="Name of the tool.")
    disable_parallel_tool_use: bool = Field(False, description="Whether the model may call one tool at most.")


class CountTokensBody(BoundedModel):
    """Body of ``POST /v1/messages/count_tokens``."""

    model: str = Field(description="Name of the model.")
    messages: Annotated[list[InputMessage], at_most(MAX_ITEMS)] = Field(description="Messages of the conversation.")
    system: str | Annotated[list[TextBlock], at_most(MAX_ITEMS)] | None = Field(None, description="System message.")
    tools: Annotated[list[Tool], at_most(MAX_ITEMS)] = Field([], description="Tools of the caller.")
    tool_choice: ToolChoice | None = Field(None, description="Which tool the model uses.")


class MessageBody(CountTokensBody):
    """Body of ``POST /v1/messages``."""

    max_tokens: int = Field(ge=1, description="Maximum number of tokens of the answer.")
    temperature: float | None = Field(None, description="Sampling temperature.")
    top_p: float | None = Field(None, description="Probability mass that tokens are sampled from.")
    top_k: int | None = Field(None, description="Number of tokens to sample from.")
    stop_sequences: Annotated[list[str], at_most(64)] | None = Field(None, description="Texts that end the answer.")
    stream: bool | None = Field(None, description="Whether the response is a stream of events.")
