"""The first failure of a pydantic validation as a field and a sentence, without the value that was sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import BaseModel, BeforeValidator, ValidationError, model_validator
from pydantic_core import ErrorDetails

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
    def first(cls, error: ValidationError, *parents: str, document: object = None) -> InvalidField:
        """The first invalid field of a validation, below ``parents``.

        ``document`` is the value that is invalid. With it, the path has no names of the members of a union, and leads
        as deep as one of the members does.
        """
        errors = error.errors(include_url=False, include_input=False, include_context=False)
        details = errors[0]
        if document is not None:
            field = details["loc"][:1]
            details = max((found for found in errors if found["loc"][:1] == field), key=_depth)
            steps = _without_tags(details["loc"], document, is_missing=details["type"] == "missing")
            details = {**details, "loc": steps}
        return cls.from_details(details, parents)

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


def _depth(details: ErrorDetails) -> tuple[int, bool]:
    """Order errors by the depth of their field; then a wrong type, which only one member may want, comes last."""
    return len(details["loc"]), not details["type"].endswith("_type")


def _without_tags(steps: Sequence[int | str], document: object, *, is_missing: bool) -> tuple[int | str, ...]:
    """Return the steps to a field without those that name a member of a union, which the document doesn't have.

    If ``is_missing``, the last step is a field that the document doesn't have either.
    """
    path: list[int | str] = []
    value = document
    for index, step in enumerate(steps):
        if isinstance(value, dict) and step in value:
            value = value[step]
        elif isinstance(value, list) and isinstance(step, int):
            value = value[step] if step < len(value) else None
        elif isinstance(value, BaseModel) and isinstance(step, str) and hasattr(value, step):
            value = getattr(value, step)
        elif not (isinstance(value, dict) and is_missing and index == len(steps) - 1):
            continue
        path.append(step)
    return tuple(path)


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
