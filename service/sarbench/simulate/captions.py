"""Captions in two lengths from the ground truth of an image, in the style of SARLANG-1M."""

from __future__ import annotations

from collections.abc import Sequence

from sarbench.simulate.general_questions import DOMINANT_FRACTION
from sarbench.simulate.ground_truth import Feature, GroundTruth, SiteDescription
from sarbench.simulate.position import majority_side
from sarbench.simulate.questions import PLURALS

CONCISE_WORDS = range(9, 14)
"""Allowed numbers of words in a concise caption."""

NUMBER_WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
CATEGORY_ORDER = ("ship", "harbor", "bridge", "aircraft", "tank", "car")
"""Order in which a caption names categories."""
AREA_PHRASES = {
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
"""For each area type: a phrase for the location of an object, and a phrase for the scene."""
LAND_COVER_NOUNS = {
    "water": "water",
    "forest": "trees",
    "crop": "fields",
    "grass": "grass",
    "bare": "bare ground",
    "built": "buildings",
    "asphalt": "pavement",
}
HOUSE_PHRASES = {
    "Grid pattern": "houses in a grid",
    "Rows": "rows of houses",
    "Scattered": "scattered houses",
    "Circular pattern": "houses in circles",
}


def make_captions(truth: GroundTruth) -> tuple[str, str]:
    """Return a concise caption of 9 to 13 words and a complex caption with positions, one sentence each."""
    return _concise_caption(truth), _complex_caption(truth)


def _concise_caption(truth: GroundTruth) -> str:
    """Return a caption of the main objects and the area, with their position if its length fits."""
    categories = [category for category in CATEGORY_ORDER if truth.counts[category]]
    phrases = (
        [_count_phrase(truth, category) for category in categories[:2]]
        or _feature_phrases(truth.site)[:1]
        or [_empty_site_phrase(truth.site)]
    )
    plural = len(phrases) > 1 or not phrases[0].startswith(("one ", "a ", "an ", "open "))
    subject = f"{_join_phrases(phrases)} {'are' if plural else 'is'} visible"
    side = _side_phrase(truth, categories[0]) if categories else ""
    if truth.site is None:
        tails = [f"{side} in this radar image", "in this radar image", "within the area of this radar image"]
    else:
        setting = AREA_PHRASES[truth.site.area][0]
        tails = [f"{setting} {side}", f"{setting} in the image", setting]
    if not side:
        del tails[0]
    wordings = [f"{subject} {tail}" for tail in tails]
    return _as_sentence(next(wording for wording in wordings if len(wording.split()) in CONCISE_WORDS))


def _complex_caption(truth: GroundTruth) -> str:
    """Return a caption of the area, all categories with their positions, the features, and the land cover."""
    site = truth.site
    phrases = [
        f"{_count_phrase(truth, category)} {_side_phrase(truth, category)}".strip()
        for category in CATEGORY_ORDER
        if truth.counts[category]
    ]
    if site is None:
        return _as_sentence(
            f"the radar image shows {_join_phrases(phrases) or 'no objects'} within the area that it covers"
        )
    phrases = [*phrases, *_feature_phrases(site)] or [_empty_site_phrase(site)]
    cover, fraction = max(site.land_cover.items(), key=lambda item: item[1])
    covered = (
        f"mostly covered by {LAND_COVER_NOUNS[cover]}"
        if fraction >= DOMINANT_FRACTION
        else "on ground of several kinds"
    )
    return _as_sentence(f"the radar image shows {AREA_PHRASES[site.area][1]} with {_join_phrases(phrases)}, {covered}")


def _count_phrase(truth: GroundTruth, category: str) -> str:
    """Return a count, such as ``three ships``."""
    count = truth.counts[category]
    number = NUMBER_WORDS[count] if count < len(NUMBER_WORDS) else "many"
    return f"{number} {category if count == 1 else PLURALS[category]}"


def _side_phrase(truth: GroundTruth, category: str) -> str:
    """Return a position, such as ``mostly at the left`` or ``near the center``, or an empty string if ambiguous."""
    centers = [labeled.box.center for labeled in truth.objects if labeled.category == category]
    side = majority_side([(x / truth.width, y / truth.height) for x, y in centers])
    if side is None:
        return ""
    return f"{'mostly ' if len(centers) > 1 else ''}{'near' if side == 'center' else 'at'} the {side}"


def _feature_phrases(site: SiteDescription | None) -> list[str]:
    """Return phrases for the features of a site without boxes."""
    if site is None:
        return []
    features = [_feature_phrase(feature) for feature in site.features]
    if site.building_count >= 3 and not any(feature.pattern for feature in site.features):
        features.append("several buildings")
    return features


def _empty_site_phrase(site: SiteDescription | None) -> str:
    """Return a phrase for a site without objects and features."""
    if site is None:
        return "no objects"
    return {"Sea": "open water", "Forest": "dense trees"}.get(site.area, "open ground")


def _feature_phrase(feature: Feature) -> str:
    """Return a feature, such as ``a rectangular pond at the top left`` or ``a diagonal road``."""
    if feature.pattern is not None:
        return HOUSE_PHRASES[feature.pattern]
    adjective = feature.direction or feature.shape or ""
    article = "an" if adjective == "Irregular" else "a"
    position = {None: "", "center": " in the center"}.get(feature.cell, f" at the {feature.cell}")
    return f"{article} {adjective.lower()} {feature.name}{position}"


def _join_phrases(phrases: Sequence[str]) -> str:
    """Join phrases as ``a``, ``a and b``, or ``a, b and c``."""
    return " and ".join(filter(None, [", ".join(phrases[:-1]), *phrases[-1:]]))


def _as_sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
