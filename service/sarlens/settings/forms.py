"""Sentences about invalid settings: the variable, the expected form and an example."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from sarlens.validation import InvalidField

_UNITS = {"_s": "seconds", "_bytes": "bytes", "_pixels": "pixels"}
_BOUND_ERRORS = {"greater_than", "greater_than_equal", "less_than", "less_than_equal"}


def expected_form(name: str, field: FieldInfo, constraint: str = "") -> str:
    """Describe the form of a setting, such as "a number of seconds, such as 2.0".

    Args:
        name: name of the field, whose suffix is its unit.
        field: the field.
        constraint: a limit that the value must keep, such as "greater than 0".
    """
    annotation = _bare_type(field.annotation)
    if get_origin(annotation) is Literal:
        return "one of " + ", ".join(str(choice) for choice in get_args(annotation))
    if annotation is bool:
        return "true or false"
    example = _example(field)
    noun = _noun(annotation)
    if annotation in {int, float}:
        noun += "".join(f" of {unit}" for suffix, unit in _UNITS.items() if name.endswith(suffix))
    noun += f" {constraint}" if constraint else ""
    return f"{noun}, such as {example}" if example else noun


def describe_invalid(variable: str, field: FieldInfo, invalid: InvalidField) -> str:
    """One sentence about an invalid setting, without its value."""
    name = variable.rpartition("__")[2].removeprefix("SARLENS_").lower()
    if invalid.error_type == "value_error":
        return f"{variable}: {invalid.message}"
    constraint = invalid.message.removeprefix("Input should be ") if invalid.error_type in _BOUND_ERRORS else ""
    return f"{variable} must be {expected_form(name, field, constraint)}"


def _bare_type(annotation: Any) -> Any:
    """Strip ``None`` and constraints from a type: ``Annotated[float, …] | None`` is ``float``."""
    choices = [choice for choice in get_args(annotation) if choice is not type(None)]
    if type(None) in get_args(annotation) and len(choices) == 1:
        return _bare_type(choices[0])
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def _noun(annotation: Any) -> str:
    match get_origin(annotation) or annotation:
        case cls if cls is int:
            return "a whole number"
        case cls if cls is float:
            return "a number"
        case cls if cls is tuple:
            return "a list, comma-separated or JSON"
        case cls if cls is dict:
            return "a JSON object"
        case cls if cls is Path:
            return "the path of a file"
    return "text"


def _example(field: FieldInfo) -> str:
    if field.examples:
        return str(field.examples[0])
    default = field.get_default(call_default_factory=True)
    return "" if default in (None, (), {}) else default if isinstance(default, str) else json.dumps(default)
