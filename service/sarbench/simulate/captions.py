"""Captions of two lengths from what is known of an image, worded after SARLANG-1M's."""

from __future__ import annotations

from collections.abc import Sequence

from sarbench.simulate.general import MOSTLY
from sarbench.simulate.position import most_at
from sarbench.simulate.questions import PLURALS
from sarbench.simulate.truth import Feature, Place, Truth

CONCISE = range(9, 14)
"""Words that a concise caption may have."""

NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
ORDER = ("ship", "harbor", "bridge", "aircraft", "tank", "car")
"""Which objects a caption names first."""
SETTINGS = {
    "Sea": ("on the open sea", "an open sea"),
    "Port": ("in a port", "a port"),
    "Coast": ("along a coast", "a coast"),
    "River": ("along a river", "countryside"),
    "Airport": ("at an airport", "an airport"),
    "Industrial": ("in an industrial area", "an industrial area"),
    "Parking area": ("in a parking area", "a parking area"),
    "Residential": ("in a residential area", "a residential area"),
    "Urban": ("in an urban area", "an urban area"),
    "Agricultural field": ("among agricultural fields", "agricultural fields"),
    "Forest": ("in a dense forest", "a dense forest"),
}
"""For each area: where something is seen there, and what is seen as a whole."""
COVERS = {
    "water": "water",
    "forest": "trees",
    "crop": "fields",
    "grass": "grass",
    "bare": "bare ground",
    "built": "buildings",
    "asphalt": "pavement",
}
HOUSES = {
    "Grid pattern": "houses in a grid",
    "Rows": "rows of houses",
    "Scattered": "scattered houses",
    "Circular pattern": "houses in circles",
}


def captions(truth: Truth) -> tuple[str, str]:
    """A concise caption, 9 to 13 words, and a complex one that says where things are; each is one sentence."""
    return _concise(truth), _complex(truth)


def _concise(truth: Truth) -> str:
    """What there is most notably, and in what setting; where it is and that this is an image as length allows."""
    named = [category for category in ORDER if truth.counts[category]]
    things = [_counted(truth, category) for category in named[:2]] or _features(truth.place)[:1] or [_bare(truth.place)]
    plural = len(things) > 1 or not things[0].startswith(("one ", "a ", "an ", "open "))
    subject = f"{_listed(things)} {'are' if plural else 'is'} visible"
    side = _side(truth, named[0]) if named else ""
    if truth.place is None:
        tails = [f"{side} in this radar image", "in this radar image", "within the area of this radar image"]
    else:
        setting = SETTINGS[truth.place.area][0]
        tails = [f"{setting} {side}", f"{setting} in the image", setting]
    if not side:
        del tails[0]
    wordings = [f"{subject} {tail}" for tail in tails]
    return _sentence(next(wording for wording in wordings if len(wording.split()) in CONCISE))


def _complex(truth: Truth) -> str:
    """The setting, every kind of object with its side, the features, and what covers the ground."""
    place = truth.place
    things = [
        f"{_counted(truth, category)} {_side(truth, category)}".strip() for category in ORDER if truth.counts[category]
    ]
    if place is None:
        return _sentence(f"the radar image shows {_listed(things) or 'no objects'} within the area that it covers")
    things = [*things, *_features(place)] or [_bare(place)]
    cover, share = max(place.cover.items(), key=lambda item: item[1])
    covered = f"mostly covered by {COVERS[cover]}" if share >= MOSTLY else "on ground of several kinds"
    return _sentence(f"the radar image shows {SETTINGS[place.area][1]} with {_listed(things)}, {covered}")


def _counted(truth: Truth, category: str) -> str:
    """Such as ``three ships``."""
    count = truth.counts[category]
    number = NUMBERS[count] if count < len(NUMBERS) else "many"
    return f"{number} {category if count == 1 else PLURALS[category]}"


def _side(truth: Truth, category: str) -> str:
    """Such as ``mostly at the left`` or ``near the center``; empty where nobody could say."""
    middles = [seen.box.middle for seen in truth.objects if seen.category == category]
    side = most_at([(x / truth.width, y / truth.height) for x, y in middles])
    if side is None:
        return ""
    return f"{'mostly ' if len(middles) > 1 else ''}{'near' if side == 'center' else 'at'} the {side}"


def _features(place: Place | None) -> list[str]:
    """What a place has beside boxed objects."""
    if place is None:
        return []
    features = [_described(feature) for feature in place.features]
    if place.buildings >= 3 and not any(feature.pattern for feature in place.features):
        features.append("several buildings")
    return features


def _bare(place: Place | None) -> str:
    """What is to be seen where there is nothing else."""
    if place is None:
        return "no objects"
    return {"Sea": "open water", "Forest": "dense trees"}.get(place.area, "open ground")


def _described(feature: Feature) -> str:
    """Such as ``a rectangular pond at the top left`` or ``a diagonal road``."""
    if feature.pattern is not None:
        return HOUSES[feature.pattern]
    kind = feature.direction or feature.shape or ""
    article = "an" if kind == "Irregular" else "a"
    where = {None: "", "center": " in the center"}.get(feature.cell, f" at the {feature.cell}")
    return f"{article} {kind.lower()} {feature.name}{where}"


def _listed(things: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join(filter(None, [", ".join(things[:-1]), *things[-1:]]))


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."
