"""The profiles in force, and which of them a model has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

from sarlens.profiles.profile import ModelProfile

AUTO = "auto"
"""Name for the model whose profile is for the image of the request."""
DEFAULT_PROFILE = ModelProfile()
"""The profile of a model that no other one matches."""


class Profiles:
    """The profiles in force; those of the operator precede those of the package."""

    def __init__(self, profiles: Sequence[ModelProfile] = (), sources: Mapping[str, str] | None = None) -> None:
        """``sources`` has the file of each profile by its name, or ``built-in``."""
        self.profiles = tuple(profiles)
        self.sources = dict(sources or {})
        self.aliases = {alias: profile.names[0] for profile in self.profiles for alias in profile.aliases}
        """Model by its alias."""
        self.of = lru_cache(1024)(self._of)
        """Return the profile of a model by its names: its own, then those of the models that it derives from."""

    def _of(self, *names: str) -> ModelProfile:
        for name in names:
            exact = (profile for profile in self.profiles if name in profile.names)
            matching = (profile for profile in self.profiles if profile.matches(name))
            if found := next(exact, None) or next(matching, None):
                return found
        return DEFAULT_PROFILE
