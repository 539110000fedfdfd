"""Content negotiation by the ``Accept`` header, RFC 9110 section 12.5.1."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from starlette.datastructures import Headers

_CHARS = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_RANGE = re.compile(rf"({_CHARS})/({_CHARS})")
_PARAMETER = re.compile(rf'[ \t]*;[ \t]*(?:({_CHARS})=({_CHARS}|"(?:[^"\\]|\\.)*"))?[ \t]*')
_QUALITY = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?")
_ELEMENT = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*"?)+')
_MAX_RANGES = 64


class MediaRange(NamedTuple):
    """One element of an ``Accept`` header, in lower case: ``type/subtype``, where each may be ``*``."""

    type: str
    subtype: str
    parameters: frozenset[tuple[str, str]]
    """Parameters other than ``q`` and ``charset``; JSON and GeoJSON have no charset, though clients send one."""
    quality: float

    @property
    def specificity(self) -> int:
        """Rank among the ranges that match: ``*/*``, ``type/*``, ``type/subtype``, each parameter."""
        return (self.type != "*") + (self.subtype != "*") + len(self.parameters)

    def matches(self, media_type: MediaRange) -> bool:
        """Whether a media type without wildcards is in the range."""
        return (
            self.type in {"*", media_type.type}
            and self.subtype in {"*", media_type.subtype}
            and self.parameters <= media_type.parameters
        )


def parse_accept(text: str) -> list[MediaRange]:
    """The media ranges of an ``Accept`` header in their order; malformed ones, and all after 64, are left out."""
    elements = _ELEMENT.findall(text)[:_MAX_RANGES]
    return [media_range for element in elements if (media_range := _parse_range(element)) is not None]


def best_match(accept: str, offers: Sequence[str]) -> str | None:
    """The offered media type that a client prefers, or None if it accepts none of them.

    The quality of an offer is that of the most specific range that matches it. Ties are broken by the more specific
    range, then by the order of the header, then by the order of the offers. An absent or malformed header accepts
    every offer.
    """
    ranges = parse_accept(accept)
    if not ranges:
        return offers[0]
    ranks = {offer: _rank(offer, ranges) for offer in offers}
    best = max(offers, key=ranks.__getitem__)
    return best if ranks[best][0] else None


def negotiate(headers: Headers, offers: Sequence[str]) -> str:
    """The offered media type that the client of a request prefers; the first one if the client accepts none."""
    return best_match(",".join(headers.getlist("accept")), offers) or offers[0]


def _rank(offer: str, ranges: Sequence[MediaRange]) -> tuple[float, int, int]:
    """Quality of an offered media type, then specificity and position of the range that decided."""
    media_type = _parse_range(offer)
    assert media_type is not None, offer  # noqa: S101  offers are constants
    matching = [
        (media_range.specificity, -index, media_range.quality)
        for index, media_range in enumerate(ranges)
        if media_range.matches(media_type)
    ]
    specificity, position, quality = max(matching, default=(0, 0, 0.0))
    return quality, specificity, position


def _parse_range(element: str) -> MediaRange | None:
    element = element.strip(" \t")
    name = _RANGE.match(element)
    if name is None or (name[1] == "*" and name[2] != "*"):
        return None
    quality, parameters, position = 1.0, set(), name.end()
    while position < len(element):
        parameter = _PARAMETER.match(element, position)
        if parameter is None:
            return None
        position = parameter.end()
        key, value = (parameter[1] or "").lower(), (parameter[2] or "").strip('"').lower()
        if key == "q":
            if not _QUALITY.fullmatch(value):
                return None
            quality = float(value)
        elif key not in {"", "charset"}:
            parameters.add((key, value))
    return MediaRange(name[1].lower(), name[2].lower(), frozenset(parameters), quality)
