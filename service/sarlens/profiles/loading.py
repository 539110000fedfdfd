"""Read files of profiles, in TOML."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from sarlens.errors import StartupError
from sarlens.profiles.profile import ModelProfile
from sarlens.profiles.registry import AUTO, Profiles
from sarlens.validation import InvalidField

BUILT_IN = "built-in"
"""Source of the profiles of the package."""
_MAX_BYTES = 2**20
_NOT_INHERITED = frozenset({"models", "aliases", "fallbacks", "acquisitions", "extends"})

Tables = dict[str, dict[str, Any]]


class ProfileError(StartupError):
    """A file of profiles is invalid; the message names the file and the field."""


def load_profiles(paths: Sequence[Path]) -> Profiles:
    """Read the profiles of files and of the package. A profile replaces one of the same name in the package.

    Raises:
        ProfileError: a file can't be read, or a profile is invalid.
    """
    built_in = _parse(files("sarlens.profiles").joinpath("built_in.toml").read_bytes(), BUILT_IN)
    tables: Tables = {}
    sources: dict[str, str] = {}
    for path in paths:
        for name, table in _read(path).items():
            if name in tables:
                raise ProfileError(f"{path}: the profile {name} is also in {sources[name]}")
            tables[name], sources[name] = table, str(path)
    sources = dict.fromkeys(built_in, BUILT_IN) | sources
    tables = {**tables, **{name: table for name, table in built_in.items() if name not in tables}}
    profiles = [_profile(name, tables, sources[name]) for name in tables]
    _check_aliases(profiles, sources)
    return Profiles(profiles, sources)


def _check_aliases(profiles: Sequence[ModelProfile], sources: Mapping[str, str]) -> None:
    """Check that an alias names one model, and is neither ``auto`` nor the name of a model."""
    owners: dict[str, str] = {}
    names = {name for profile in profiles for name in profile.names}
    for profile in profiles:
        for alias in profile.aliases:
            place = f"{sources[profile.name]}: the alias {alias} of profiles.{profile.name}"
            if alias in names or alias == AUTO:
                raise ProfileError(f"{place} is the name of a model")
            if alias in owners:
                raise ProfileError(f"{place} is also one of profiles.{owners[alias]}")
            owners[alias] = profile.name


def _read(path: Path) -> Tables:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ProfileError(f"{path}: the file has more than {_MAX_BYTES} bytes")
        return _parse(path.read_bytes(), str(path))
    except OSError as error:
        raise ProfileError(f"the file of profiles {path} can't be read: {error.strerror}") from None


def _parse(content: bytes, source: str) -> Tables:
    try:
        document = tomllib.loads(content.decode())
    except ValueError as error:
        raise ProfileError(f"{source} isn't TOML: {error}") from None
    if unknown := next((name for name in document if name != "profiles"), None):
        raise ProfileError(f"{source}: {unknown} isn't known; a profile is a table [profiles.NAME]")
    profiles = document.get("profiles", {})
    if not isinstance(profiles, dict) or not all(isinstance(table, dict) for table in profiles.values()):
        raise ProfileError(f"{source}: profiles must be tables [profiles.NAME]")
    return profiles


def _profile(name: str, tables: Tables, source: str) -> ModelProfile:
    """Return the profile of a name, with the fields that it inherits."""
    for path, known in _unknown_fields(ModelProfile, {**tables[name], "extends": None}):
        nearest = get_close_matches(path[-1], known, n=1)
        hint = f"did you mean {nearest[0]}?" if nearest else f"the fields are {', '.join(known)}"
        raise ProfileError(f"{source}: profiles.{name}.{'.'.join(path)} isn't a field of profiles; {hint}")
    try:
        return ModelProfile.model_validate({**_inherited(name, tables, source, ()), "name": name})
    except ValidationError as error:
        invalid = InvalidField.first(error, "profiles", name)
        raise ProfileError(f"{source}: {invalid.describe('the profile')}") from None


def _inherited(name: str, tables: Tables, source: str, path: tuple[str, ...]) -> dict[str, Any]:
    """Return the fields of a profile, and those of the profile that it extends where it has none."""
    table = tables[name]
    base = table.get("extends")
    own = {key: value for key, value in table.items() if key != "extends"}
    if base is None:
        return own
    if not isinstance(base, str) or base not in tables:
        raise ProfileError(f"{source}: profiles.{name}.extends must be one of {', '.join(sorted(tables))}")
    if base in path or base == name:
        raise ProfileError(f"{source}: profiles.{name} extends itself")
    inherited = _inherited(base, tables, source, (*path, name))
    return _merged({key: value for key, value in inherited.items() if key not in _NOT_INHERITED}, own)


def _merged(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**base, **own}
    for key in base.keys() & own.keys():
        if isinstance(base[key], dict) and isinstance(own[key], dict):
            merged[key] = _merged(base[key], own[key])
    return merged


def _unknown_fields(
    model_cls: type[BaseModel], table: Mapping[str, Any], path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], list[str]]]:
    """Iterate over unknown fields, each with the names of its table's fields."""
    known = model_cls.model_fields
    for key, value in table.items():
        if key not in known and (path or key != "extends"):
            names = [name for name in known if name != "name"]
            yield (*path, key), names if path else [*names, "extends"]
        elif (inner := _table_class(known[key].annotation if key in known else None)) is not None:
            tables = value if isinstance(value, list) else [value]
            for element in tables:
                if isinstance(element, dict):
                    yield from _unknown_fields(inner, element, (*path, key))


def _table_class(annotation: Any) -> type[BaseModel] | None:
    """Return the class of a table, or of the tables in a list."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _table_class(part)) is not None), None)
