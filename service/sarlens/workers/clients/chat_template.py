"""Chat templates, which turn messages into the prompt that a model was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from jinja2 import Template, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from sarlens.errors import BadRequest, StartupError


class ChatTemplateError(StartupError):
    """A file isn't a valid chat template."""


def load_chat_template(path: Path) -> Template:
    """Load a Hugging Face chat template, such as a model's ``chat_template.jinja``, into a sandbox.

    Raises:
        ChatTemplateError: the file can't be read, or isn't a template.
    """
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.globals["raise_exception"] = _raise
    try:
        return environment.from_string(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise ChatTemplateError(f"the chat template {path.name} can't be read: {error}") from None
    except TemplateError as error:
        raise ChatTemplateError(f"{path.name} isn't a valid chat template: {error}") from None


def apply_chat_template(template: Template, messages: Sequence[Any]) -> str:
    """Render the prompt for messages whose images are ``{"type": "image"}`` parts.

    Raises:
        BadRequest: the template rejects these messages.
    """
    try:
        return template.render(messages=messages, add_generation_prompt=True)
    except (TemplateError, TypeError, ValueError, KeyError, AttributeError) as error:
        reason = f"The model's chat template rejects these messages: {error}."
        raise BadRequest(reason, param="messages") from None


def _raise(message: str) -> NoReturn:
    raise TemplateError(message)
