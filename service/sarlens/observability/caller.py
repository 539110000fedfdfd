"""The name of the API key that the current task works for, as log lines, spans and metrics have it."""

from __future__ import annotations

from contextvars import ContextVar

_current_key: ContextVar[str] = ContextVar("sarlens_key", default="")


def bind_key(name: str) -> None:
    """Set the name of the key that the current task, and tasks that it starts, work for; empty without a key."""
    _current_key.set(name)


def current_key() -> str:
    """Return the name of the key that the current task works for; empty without a key."""
    return _current_key.get()
