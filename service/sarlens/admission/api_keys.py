"""API keys from a JSON file that is reloaded when it changes."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import secrets
from collections.abc import Iterable
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Annotated

import structlog
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from sarlens.chat.restricted_fields import is_restricted
from sarlens.errors import StartupError
from sarlens.observability.metrics import Metrics
from sarlens.types.caller import Share
from sarlens.validation import InvalidField

log = structlog.get_logger(__name__)

_PREFIX = "sar-"
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_MAX_FILE_BYTES = 16 * 2**20

Rate = Annotated[int, Field(ge=1, le=1_000_000_000)]
OutputPrefix = Annotated[str, Field(pattern=r"^s3://[^/]+(/.*)?$")]
ImagePrefix = Annotated[str, Field(pattern=r"^(s3://[^/]+(/.*)?|https://[^/]+(/.*)?|data:)$")]


def _check_restricted(name: str) -> str:
    if not is_restricted(name):
        raise ValueError(f"{name[:64]!r} isn't a restricted field of requests")
    return name


RestrictedField = Annotated[str, AfterValidator(_check_restricted)]


class ApiKey(BaseModel):
    """One caller's API key, its scopes and its limits. Omitted fields other than ``outputs`` don't restrict it.

    A fast hash is enough for ``sha256``: a key has 256 random bits, so guessing it isn't feasible, and every request
    looks a key up.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=200)]
    """Unique name of the key, shown in logs and job listings."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """SHA-256 of the key, in hexadecimal."""
    models: tuple[str, ...] | None = None
    """Model names that the key allows; ``*`` matches any characters."""
    images: tuple[ImagePrefix, ...] | None = None
    """URL prefixes of images that the key allows, such as ``s3://scenes/2026`` or ``data:``."""
    outputs: tuple[OutputPrefix, ...] | None = None
    """URL prefixes below which the key's surveys write results; None, a prefix with the key's name."""
    requests_per_minute: Rate | None = None
    tokens_per_minute: Rate | None = None
    priority: Annotated[int, Field(ge=-1000, le=1000)] = 0
    """Lower values are served first."""
    weight: Annotated[float, Field(ge=0.001, le=1000)] = 1.0
    """Capacity relative to other keys of the same priority."""
    max_parallel: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Maximum number of concurrent requests in a process; further ones are queued."""
    max_queued: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    """Maximum number of queued requests in a process; further ones are rejected."""
    fields: tuple[RestrictedField, ...] = ()
    """Restricted fields of chat and completion requests that the key may send, such as ``chat_template_kwargs``."""
    disabled: bool = False

    @cached_property
    def share(self) -> Share:
        """Share of the key in the gateway's capacity, the same object for every request."""
        return Share(self.name, self.weight, self.max_parallel, self.max_queued)

    def allows_model(self, model: str) -> bool:
        """Return whether the key allows a model."""
        return self.models is None or any(fnmatchcase(model, pattern) for pattern in self.models)

    def allows_image(self, address: str) -> bool:
        """Return whether the key allows an image; ``address`` is a URL in the form of ``canonical_url``."""
        return self.images is None or any(_is_below(address, prefix) for prefix in self.images)

    def output_prefixes(self, gateway_prefixes: Iterable[str]) -> tuple[str, ...]:
        """Return the URL prefixes below which the key may write results, if the gateway may.

        Without ``outputs``, these are the gateway's prefixes, each with the name of the key, so that keys share none.
        A name that isn't one plain part of a URL has none.
        """
        if self.outputs is not None:
            return self.outputs
        if not _PLAIN_NAME.fullmatch(self.name):
            return ()
        folders = [prefix.rstrip("/") + "/" for prefix in gateway_prefixes]
        own = (f"{folder}{self.name}/" for folder in folders)
        return tuple(prefix for prefix in own if not any(folder.startswith(prefix) for folder in folders))


def _is_below(address: str, prefix: str) -> bool:
    return address == prefix or address.startswith(prefix if prefix.endswith("/") else f"{prefix}/")


class ApiKeyFileError(StartupError):
    """The file of API keys is invalid; the message names the field and shows no key."""


_KEYS = TypeAdapter(list[ApiKey])


class ApiKeyFile:
    """The API keys of a JSON file that holds a list of ``ApiKey`` objects."""

    def __init__(self, path: Path, metrics: Metrics | None = None) -> None:
        self._path = path
        self._metrics = metrics or Metrics()
        self._loaded_version = self._file_version()
        self._keys = load_api_keys(path)
        self._metrics.keys_loaded.set_to_current_time()

    def authenticate(self, secret: str) -> ApiKey | None:
        """Return the key that was issued as ``secret``, or None if it is unknown or disabled.

        The lookup by hash leaks nothing by its timing: a caller without a key can't choose the hash.
        """
        key = self._keys.get(hashlib.sha256(secret.encode(errors="surrogateescape")).hexdigest())
        return None if key is None or key.disabled else key

    def by_name(self, name: str) -> ApiKey | None:
        """Return the key with this name, or None if it is unknown or disabled."""
        return next((key for key in self._keys.values() if key.name == name and not key.disabled), None)

    async def watch_forever(self, interval_s: float = 1.0) -> None:
        """Reload the file whenever it changes. An invalid file leaves the current keys in force."""
        while True:
            await asyncio.sleep(interval_s)
            self.reload_if_changed()

    def reload_if_changed(self) -> None:
        """Reload the file if it has changed since it was last read."""
        state = self._file_version()
        if state == self._loaded_version:
            return
        self._loaded_version = state
        try:
            self._keys = load_api_keys(self._path)
        except ApiKeyFileError as error:
            log.warning("API keys not reloaded; the previous keys stay in force", reason=str(error))
            self._metrics.keys_reload_failing.set(1)
        else:
            self._metrics.keys_reload_failing.set(0)
            self._metrics.keys_loaded.set_to_current_time()
            log.info("API keys reloaded", keys=len(self._keys))

    def _file_version(self) -> tuple[int, int, int] | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino


def load_api_keys(path: Path) -> dict[str, ApiKey]:
    """Read the API keys of a file, by their hashes.

    Raises:
        ApiKeyFileError: the file is missing, too large or invalid, or two keys share a name or a hash.
    """
    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise ApiKeyFileError(f"{path}: a file of API keys has at most {_MAX_FILE_BYTES} bytes")
        keys = _KEYS.validate_json(path.read_bytes())
    except OSError as error:
        raise ApiKeyFileError(f"{path}: the file of API keys can't be read: {os.strerror(error.errno or 0)}") from None
    except ValidationError as error:
        problem = InvalidField.first(error).describe("the file must hold a JSON list of keys")
        raise ApiKeyFileError(f"{path}: {problem}") from None
    for values in ([key.name for key in keys], [key.sha256 for key in keys]):
        if len(set(values)) < len(keys):
            raise ApiKeyFileError(f"{path}: two keys have the same name or the same hash")
    return {key.sha256: key for key in keys}


def generate_api_key() -> tuple[str, str]:
    """Return a new key of 256 random bits, and its SHA-256 in hexadecimal."""
    secret = _PREFIX + secrets.token_urlsafe(32)
    return secret, hashlib.sha256(secret.encode()).hexdigest()
