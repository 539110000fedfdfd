"""Settings as a table: their defaults and meaning, or the values in force."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import SecretStr

from sarlens.settings.environment import read_variables, variables
from sarlens.settings.model import Settings

_LOGIN = re.compile(r"(?<=//)([^/@:]*)(:?)[^/]*@")
_SECRET_LOGIN = re.compile(r"(?<=//)([^/@:]*)(:?).*@", re.DOTALL)


class CurrentSetting(NamedTuple):
    """A setting in force."""

    variable: str
    value: str
    source: str
    """``default``, ``environment``, ``.env`` or ``option``."""


def describe() -> Iterator[tuple[str, str, str]]:
    """Iterate over all settings as the name of the variable, the default as JSON and the description."""
    for variable, _, field in variables(Settings):
        default = "" if field.default is None else json.dumps(field.default)
        yield variable, default, field.description or ""


def current_settings(settings: Settings, options: Collection[str] = ()) -> Iterator[CurrentSetting]:
    """Iterate over all settings with their values in force, secrets masked.

    Args:
        settings: the settings.
        options: variables of the settings that command-line options have set.
    """
    found = read_variables(Settings)
    for variable, path, _ in variables(Settings):
        value: Any = settings
        for name in path:
            value = getattr(value, name)
        if path == ("survey", "database"):
            value = SecretStr(settings.survey.database_url)
        source = "option" if variable in options else found[variable].origin if variable in found else "default"
        yield CurrentSetting(variable, _display(value), source)


def _display(value: Any) -> str:
    match value:
        case None:
            return ""
        case SecretStr():
            return _mask_secret(value.get_secret_value())
        case str() | Path():
            return _mask_login(str(value))
        case tuple():
            return ",".join(_mask_login(str(item)) for item in value)
    return _mask_login(json.dumps(value, default=str))


def _mask_secret(secret: str) -> str:
    """Show of a secret only the host and path of a URL."""
    scheme, separator, rest = secret.partition("://")
    if not separator:
        return "***"
    address, query, _ = rest.partition("?")
    return _mask_login(f"{scheme}://{address}{query and '?***'}", _SECRET_LOGIN)


def _mask_login(text: str, login_pattern: re.Pattern[str] = _LOGIN) -> str:
    """Mask the password of URLs, or the whole login if it has no colon."""
    return login_pattern.sub(lambda login: f"{login[1]}:***@" if login[2] else "***@", text)
