"""The first failure of a pydantic validation as a field and a sentence, without the value that was sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import BaseModel, BeforeValidator, ValidationError, model_validator

_MAX_STEP = 64
_MAX_FIELDS = 64
_PREFIXES = ("Value error, ", "Assertion failed, ")


class InvalidField(NamedTuple):
    """A field of a document and the reason why it is invalid."""

    path: tuple[str, ...]
    """Names and indexes from the root to the field, each cut to 64 characters; empty for the whole document."""
    message: str
    """The reason, without a final period."""
    error_type: str = ""
    """Pydantic's name of the reason, such as ``value_error``."""

    @classmethod
    def first(cls, error: ValidationError, *parents: str) -> InvalidField:
        """The first invalid field of a validation, below ``parents``."""
        return cls.from_details(error.errors(include_url=False, include_input=False, include_context=False)[0], parents)

    @classmethod
    def from_details(cls, details: Mapping[str, Any], parents: Sequence[str] = ()) -> InvalidField:
        """The same of one entry of ``errors()``, as FastAPI has them too."""
        message = str(details["msg"])
        for prefix in _PREFIXES:
            message = message.removeprefix(prefix)
        path = (*parents, *(str(step)[:_MAX_STEP] for step in details["loc"]))
        return cls(path, message, details["type"])

    @property
    def name(self) -> str | None:
        """The path with dots, such as ``image.sar.bands.0``; None for the whole document."""
        return ".".join(self.path) or None

    def describe(self, document: str) -> str:
        """``name: message``, with ``document`` as the name of the whole document."""
        return f"{self.name or document}: {self.message}"


class BoundedModel(BaseModel):
    """A model that rejects objects with more than 64 fields before pydantic makes an error of each unknown one."""

    @model_validator(mode="before")
    @classmethod
    def _reject_wide(cls, value: Any) -> Any:
        return _check_length(value, _MAX_FIELDS, "fields")


def at_most(count: int) -> BeforeValidator:
    """Reject longer arrays and objects before pydantic makes an error of each invalid element."""
    return BeforeValidator(lambda value: _check_length(value, count, "elements"))


def _check_length(value: Any, max_length: int, elements: str) -> Any:
    if isinstance(value, dict | list | tuple) and len(value) > max_length:
        raise ValueError(f"there are {len(value)} {elements}; the limit is {max_length}")
    return value
