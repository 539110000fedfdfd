"""Profiles as tables: their fields, and those of one profile as TOML."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from sarlens.profiles.profile import Acquisitions, ModelProfile

_EXTENDS = ("extends", "", "Name of a profile whose fields are the defaults of this one.")


def describe_fields() -> Iterator[tuple[str, str, str]]:
    """Iterate over the fields of a profile as name, default as JSON and meaning; those of tables have a dot."""
    yield _EXTENDS
    yield from _describe(ModelProfile)


def _describe(table_cls: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str, str]]:
    for name, field in table_cls.model_fields.items():
        if prefix or name != "name":
            is_table = isinstance(field.default, BaseModel)
            default = "" if is_table or field.default in (None, ()) else json.dumps(field.default)
            yield prefix + name, default, field.description or ""
            if name == "acquisitions":
                yield from _describe(Acquisitions, "acquisitions.")
            elif isinstance(field.default, BaseModel) and name != "render":
                yield from _describe(type(field.default), f"{name}.")


def to_toml(profile: ModelProfile) -> str:
    """Write all fields of a profile as a file of profiles has them; fields without a value are left out."""
    document = profile.model_dump(mode="json", exclude={"name", "render"}, exclude_none=True)
    document["models"] = list(profile.names)
    document["render"] = profile.render.model_dump(mode="json", include=profile.render.model_fields_set)
    key = profile.name if "." not in profile.name else json.dumps(profile.name)
    return "\n".join(_lines(f"profiles.{key}", document))


def _lines(table: str, fields: Mapping[str, Any]) -> Iterator[str]:
    yield f"[{table}]"
    for name, value in fields.items():
        if not isinstance(value, dict) and not _is_tables(value) and value != []:
            yield f"{name} = {json.dumps(value)}"
    for name, value in fields.items():
        if isinstance(value, dict) and value:
            yield from _lines(f"{table}.{name}", value)
        elif _is_tables(value):
            for element in value:
                yield from _lines(f"[{table}.{name}]", element)


def _is_tables(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(element, dict) for element in value)
