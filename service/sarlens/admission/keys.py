"""API keys: who may ask what, from a file that is read again when it changes."""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated

import structlog
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from sarlens.errors import CannotStart

log = structlog.get_logger(__name__)

_PREFIX = "sar-"
_MOST_BYTES = 16 * 2**20

Rate = Annotated[int, Field(ge=1, le=1_000_000_000)]
Place = Annotated[str, Field(pattern=r"^(s3://[^/]+(/.*)?|https://[^/]+(/.*)?|data:)$")]


class Key(BaseModel):
    """One caller's key and what it opens; what is left out is not restricted.

    ``sha256`` is the hash of the key, in hexadecimal. A fast hash is right here: the key is 256 random bits, which
    nobody finds by trying, and it is looked up at every request. ``models`` are names, in which * stands for anything;
    ``images`` are places below which images may be read, such as ``s3://scenes/2026`` or ``data:``. A lower
    ``priority`` is served first.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=200)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    models: tuple[str, ...] | None = None
    images: tuple[Place, ...] | None = None
    requests_per_minute: Rate | None = None
    tokens_per_minute: Rate | None = None
    priority: Annotated[int, Field(ge=-1000, le=1000)] = 0
    disabled: bool = False

    def may_ask(self, model: str) -> bool:
        """Whether the key opens a model."""
        return self.models is None or any(fnmatchcase(model, pattern) for pattern in self.models)

    def may_see(self, address: str) -> bool:
        """Whether the key opens the image at a place, which is spelt as ``plain_address`` spells it."""
        return self.images is None or any(_below(address, place) for place in self.images)


def _below(address: str, place: str) -> bool:
    return address == place or address.startswith(place if place.endswith("/") else f"{place}/")


class KeysInvalid(CannotStart):
    """A file of keys cannot be read; the message names the field, and no key."""


_KEYS = TypeAdapter(list[Key])


class KeyFile:
    """The keys of a JSON file, a list of ``Key`` objects."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = self._state()
        self._keys = read_keys(path)

    def find(self, secret: str) -> Key | None:
        """The key that was issued as ``secret``, or None where there is none or it is disabled.

        Looking up the hash of what was sent leaks nothing by its timing: who knows no key cannot choose the hash.
        """
        key = self._keys.get(hashlib.sha256(secret.encode(errors="surrogateescape")).hexdigest())
        return None if key is None or key.disabled else key

    def named(self, name: str) -> Key | None:
        """The key of that name, or None where there is none or it is disabled."""
        return next((key for key in self._keys.values() if key.name == name and not key.disabled), None)

    async def watch_forever(self, interval_s: float = 1.0) -> None:
        """Read the file again whenever it has changed; while it is wrong the keys stay as they were."""
        while True:
            await asyncio.sleep(interval_s)
            self.look()

    def look(self) -> None:
        """Read the file again if it has changed."""
        state = self._state()
        if state == self._seen:
            return
        self._seen = state
        try:
            self._keys = read_keys(self._path)
        except KeysInvalid as error:
            log.warning("keys refused, the old ones stay", reason=str(error))
        else:
            log.info("keys read", keys=len(self._keys))

    def _state(self) -> tuple[int, int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino


def read_keys(path: Path) -> dict[str, Key]:
    """The keys of a file by their hashes.

    Raises:
        KeysInvalid: it is missing, too large, or not a list of keys with names and hashes of their own.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise KeysInvalid(f"the file of keys is over {_MOST_BYTES} bytes")
        keys = _KEYS.validate_json(path.read_bytes())
    except OSError as error:
        raise KeysInvalid(f"the file of keys cannot be read: {os.strerror(error.errno or 0)}") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        field = ".".join(str(step) for step in first["loc"]) or "the file"
        raise KeysInvalid(f"{field}: {first['msg']}") from None
    for what in (_names(keys), [key.sha256 for key in keys]):
        if len(set(what)) < len(keys):
            raise KeysInvalid("two keys have the same name or the same hash")
    return {key.sha256: key for key in keys}


def _names(keys: Iterable[Key]) -> list[str]:
    return [key.name for key in keys]


def new_key() -> tuple[str, str]:
    """A fresh key of 256 random bits, and its hash."""
    secret = _PREFIX + secrets.token_urlsafe(32)
    return secret, hashlib.sha256(secret.encode()).hexdigest()
