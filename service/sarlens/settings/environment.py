"""Settings from the environment and from ``.env``: one variable per setting, no other ``SARLENS_*`` variable.

Lists are comma-separated or JSON, maps are JSON, and ``none`` unsets an optional setting.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from types import NoneType
from typing import Any, Literal, NamedTuple, get_args, get_origin

from dotenv import dotenv_values
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from sarlens.errors import StartupError
from sarlens.settings.forms import expected_form
from sarlens.settings.types import SettingsGroup

PREFIX = "SARLENS_"
ENV_FILE = Path(".env")
FOREIGN_VARIABLES = {
    "SARLENS_URL": "base URL of the gateway that `sarlens ask`, `sarlens survey` and the examples call",
    "SARLENS_API_KEY": "API key that `sarlens ask` and `sarlens survey` send",
    "SARLENS_MANAGEMENT_URL": "base URL of the management port that `sarlens workers` calls",
    "SARLENS_STATE": "state directory of the local stack, for `sarlens ask`, `sarlens survey` and `sarlens local`",
    "SARLENS_IMAGE": "image that the example notebook surveys",
    "SARLENS_PEERS": "directory of the routers that the load tests compare with",
    "SARLENS_OCEAN": "directory in which the load tests keep their scene of the sea",
}
"""``SARLENS_*`` variables that aren't settings of the gateway, and their meaning."""

_SERVICE_LINK = re.compile(r"_SERVICE_HOST|_SERVICE_PORT(_\w+)?|_PORT(_\d+_(TCP|UDP)(_\w+)?)?")

Origin = Literal["environment", ".env"]


class SettingError(StartupError):
    """A setting is unknown or invalid; the message names its variable and holds no value of a secret."""


class Variable(NamedTuple):
    """A variable that is set: its text and the place that sets it."""

    text: str
    origin: Origin


def variables(model: type[BaseModel], prefix: str = PREFIX) -> Iterator[tuple[str, tuple[str, ...], FieldInfo]]:
    """Iterate over all settings as the name of the variable, the path of the field and the field."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, SettingsGroup):
            for variable, path, inner in variables(field.annotation, f"{prefix}{name.upper()}__"):
                yield variable, (name, *path), inner
        else:
            yield prefix + name.upper(), (name,), field


def read_variables(model: type[BaseModel], env_file: Path = ENV_FILE) -> dict[str, Variable]:
    """Read the variables of all settings that are set, in upper case; the environment overrides the file.

    Raises:
        SettingError: a ``SARLENS_*`` variable isn't a setting, or the file can't be read.
    """
    try:
        in_file = dotenv_values(env_file)
    except (UnicodeDecodeError, OSError):
        raise SettingError(f"the file {env_file} can't be read as UTF-8 text") from None
    found = {**_with_prefix(in_file, ".env"), **_with_prefix(os.environ, "environment")}
    known = {variable for variable, _, _ in variables(model)}
    if unknown := sorted(found.keys() - known - FOREIGN_VARIABLES.keys()):
        raise SettingError("; ".join(_unknown_message(variable, found[variable], known) for variable in unknown))
    return {variable: entry for variable, entry in found.items() if variable in known}


def _with_prefix(texts: Mapping[str, str | None], origin: Origin) -> dict[str, Variable]:
    return {
        name.upper(): Variable(text, origin)
        for name, text in texts.items()
        if name.upper().startswith(PREFIX) and text is not None
    }


def _unknown_message(variable: str, entry: Variable, known: Iterable[str]) -> str:
    place = "in the environment" if entry.origin == "environment" else "in the file .env"
    message = f"{variable} {place} isn't a setting of the gateway"
    if _SERVICE_LINK.search(variable) and entry.text.startswith(("tcp://", "udp://")):
        return f"{message}; Kubernetes sets it unless the pod has enableServiceLinks: false"
    nearest = get_close_matches(variable.removeprefix(PREFIX), [name.removeprefix(PREFIX) for name in known], n=1)
    hint = f"did you mean {PREFIX}{nearest[0]}?" if nearest else "`sarlens settings` lists all settings"
    return f"{message}; {hint}"


def parse_variables(model: type[BaseModel], found: Mapping[str, Variable]) -> dict[str, Any]:
    """Turn variables into the nested input of the model.

    Raises:
        SettingError: a list or a map isn't valid.
    """
    values: dict[str, Any] = {}
    for variable, path, field in variables(model):
        if variable in found:
            group = values
            for name in path[:-1]:
                group = group.setdefault(name, {})
            group[path[-1]] = _parse_text(variable, found[variable].text, field)
    return values


def _parse_text(variable: str, text: str, field: FieldInfo) -> Any:
    if NoneType in get_args(field.annotation) and text.strip().lower() in {"", "none"}:
        return None
    origin = get_origin(field.annotation)
    if origin is tuple and not text.lstrip().startswith("["):
        return tuple(item.strip() for item in text.split(",") if item.strip())
    if origin not in {tuple, dict}:
        return text
    try:
        return json.loads(text)
    except ValueError:
        raise SettingError(f"{variable} must be {expected_form(path_name(variable), field)}") from None


def path_name(variable: str) -> str:
    """Name of the field behind a variable, such as ``urls`` for ``SARLENS_WORKER__URLS``."""
    return variable.removeprefix(PREFIX).rpartition("__")[2].lower()
