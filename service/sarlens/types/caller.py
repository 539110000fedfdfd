"""Terms of a caller's service: priority, deadline, readable images, models and cache salt."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

CanRead: TypeAlias = Callable[[str], bool]
"""Whether a caller may read the image at a canonical URL (``imagery.products.canonical_url``)."""


def allow_all(url: str) -> bool:
    """The rights of a caller without an API key."""
    return True


class Share(NamedTuple):
    """Share of a caller in the gateway's capacity. Callers with the same name have one share together."""

    name: str = ""
    """Name of the API key; callers without a key share the empty name."""
    weight: float = 1.0
    """Capacity relative to other callers of the same priority."""
    max_parallel: int | None = None
    """Maximum number of running requests; None for no limit."""
    max_queued: int | None = None
    """Maximum number of queued requests; None for no limit besides that of the gateway."""


class CallerPolicy(NamedTuple):
    """Terms on which the gateway serves a caller."""

    cache_salt: str = ""
    """Salt of image ids, which separates the caller's images from those of other callers in worker caches."""
    priority: int = 0
    """Order in the admission queue; a lower number goes first."""
    deadline: float | None = None
    """Time in seconds since 1970 after which the gateway cancels the request; None for no deadline."""
    can_read: CanRead = allow_all
    """Images that the caller may read."""
    share: Share = Share()
    """Share of the capacity among callers of the same priority."""
    can_use: Callable[[str], bool] = allow_all
    """Whether the caller may use a model; the gateway shows it no other names."""


ANONYMOUS = CallerPolicy()
"""Terms of a caller without an API key."""
