"""Chat templates: from a chat's messages to the prompt that a model was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from jinja2 import Template, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from sarlens.errors import BadRequest, CannotStart


class TemplateInvalid(CannotStart):
    """A file is no chat template."""


def read_template(path: Path) -> Template:
    """A template of Hugging Face's kind, the ``chat_template.jinja`` beside a model; it runs in a sandbox.

    Raises:
        TemplateInvalid: in a sentence for the person who named the file.
    """
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.globals["raise_exception"] = _raise
    try:
        return environment.from_string(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise TemplateInvalid(f"the chat template {path.name} cannot be read: {error}") from None
    except TemplateError as error:
        raise TemplateInvalid(f"{path.name} is no chat template: {error}") from None


def prompt_of(template: Template, messages: Sequence[Any]) -> str:
    """The prompt for the answer to messages whose images are ``{"type": "image"}`` parts.

    Raises:
        BadRequest: the template does not take these messages.
    """
    try:
        return template.render(messages=messages, add_generation_prompt=True)
    except (TemplateError, TypeError, ValueError, KeyError, AttributeError) as error:
        reason = f"The model's chat template does not take these messages: {error}."
        raise BadRequest(reason, param="messages") from None


def _raise(message: str) -> NoReturn:
    raise TemplateError(message)
