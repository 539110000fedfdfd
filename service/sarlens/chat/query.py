"""Parse render parameters from JSON objects and from URL query strings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from sarlens.errors import BadRequest
from sarlens.json_input import load_json
from sarlens.types.image_request import BandUrls, only_or_bands
from sarlens.types.render_params import RenderParams
from sarlens.validation import InvalidField

ModelT = TypeVar("ModelT", bound=BaseModel)

_LIST_FIELDS = frozenset({"window", "bbox", "bands", "looks", "stretch"})
_MAX_ELEMENTS = 8
"""Elements of a list that are converted; no field has so many."""
_TEXT_FIELDS = frozenset({"asset", "bbox_crs", "swath"})


def parse_urls(urls: Sequence[object], param: str) -> str | BandUrls:
    """Return the only URL of an image, or the URLs of its bands.

    Raises:
        BadRequest: the list is empty, has too many URLs, or has a URL twice.
    """
    try:
        return only_or_bands(urls)
    except ValueError as error:
        raise BadRequest(f"{param} {error}.", param=param) from None


def parse_render(sar: object, param: str) -> RenderParams | None:
    """Parse the ``sar`` object of an image, or return None if the caller left it out.

    Raises:
        BadRequest: a field is invalid; the error names the field, which begins with ``param``.
    """
    return None if sar is None else parse_model(RenderParams, sar, param)


def parse_model(model_cls: type[ModelT], value: object, param: str) -> ModelT:
    """Validate a value, and report the first invalid field below ``param``.

    Raises:
        BadRequest: a field is invalid.
    """
    try:
        return model_cls.model_validate(value)
    except ValidationError as error:
        field = InvalidField.first(error, param, document=value)
        raise BadRequest(f"{field.describe(param)}.", param=field.name) from None


def parse_render_query(fields: Mapping[str, str]) -> dict[str, Any]:
    """Convert the fields of a query string to a ``sar`` object.

    Lists are separated by commas, and a polygon is JSON. Text that can't be converted stays text, which
    ``parse_render`` rejects.
    """
    return {name: _parse_field(name, text) for name, text in fields.items()}


def _parse_field(name: str, text: str) -> Any:
    if name in _LIST_FIELDS:
        return [_parse_number(part) for part in text.split(",", _MAX_ELEMENTS)]
    if name == "polygon":
        try:
            return load_json(text.encode(errors="replace"))
        except BadRequest:
            return text
    return text if name in _TEXT_FIELDS else _parse_number(text)


def _parse_number(text: str) -> int | float | str:
    for number_cls in (int, float):
        try:
            return number_cls(text)
        except ValueError:
            continue
    return text
