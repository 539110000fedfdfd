"""Content negotiation by RFC 9110."""

from __future__ import annotations

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from sarlens.api.common.accept import best_match, negotiate, parse_accept
from support.pictures import DATA_URL
from support.workers.fake_worker import MODEL

JSON, GEOJSON, HTML, NDJSON = "application/json", "application/geo+json", "text/html", "application/x-ndjson"
OFFERS = (JSON, GEOJSON, HTML)
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "choice"),
    [
        ("", JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        ("text/*", HTML),
        (BROWSER, HTML),
        ("text/html;q=0.1, application/json", JSON),
        ("application/json;q=0.1, text/html", HTML),
        ("application/json, text/html", JSON),
        ("text/html, application/json", HTML),
        ("*/*, text/html", HTML),
        ("text/html;q=0.5, */*;q=0.5", HTML),
        ("text/html, application/*;q=0.9, application/json", HTML),
        ("TEXT/HTML", HTML),
        ("application/json;charset=utf-8, text/html;q=0.9", JSON),
        ('application/json;profile="a,b;c", text/html;q=0.9', HTML),
        ("application/json ; q=0.2 , text/html ; Q=0.3", HTML),
        ("application/json;q=0, */*", GEOJSON),
        ("text/html;q=0, text/*;q=1.000, application/*;q=0.001", JSON),
        ("image/png", None),
        ("*/*;q=0", None),
        ("text/html;q=0", None),
        ("text/html;q=2, application/json;q=0.1", JSON),
        ("text/html;q=0.1234, application/json;q=0.1", JSON),
        ("html", JSON),
        ("*/html, text/html;q=0.5", HTML),
        ("*/html, application/json;q=0.5", JSON),
        ("text/html;q=1, application/json", HTML),
        ("application/jsonp, application/json-seq", None),
        (",, ,text/html,", HTML),
        ("text/html;", HTML),
        ('text/html;a="', JSON),
    ],
)
def test_the_preferred_media_type_is_chosen(accept: str, choice: str | None) -> None:
    """Quality decides, then the more specific range, then the order of the header, then that of the offers."""
    assert best_match(accept, OFFERS) == choice


def test_parameters_make_a_range_more_specific() -> None:
    """A range with a parameter matches only offers that have it, and goes before the range without."""
    offers = ("text/plain", "text/plain;version=0.0.4")
    assert best_match("text/plain;version=0.0.4", offers) == offers[1]
    assert best_match("text/plain;version=0.0.4;q=0, text/plain", offers) == offers[0]
    assert best_match("text/plain;version=1", offers) is None
    assert best_match('text/plain; Version="0.0.4"', offers) == offers[1]


def test_several_headers_are_one() -> None:
    """Repeated headers are joined; a client that accepts no offer gets the first one."""
    headers = Headers(raw=[(b"accept", b"text/html;q=0.1"), (b"accept", b"application/x-ndjson;q=0.2")])
    assert negotiate(headers, (JSON, HTML, NDJSON)) == NDJSON
    assert negotiate(Headers({"accept": "image/png"}), OFFERS) == JSON
    assert negotiate(Headers({}), OFFERS) == JSON


def test_a_long_header_is_bounded() -> None:
    """Only the first 64 ranges count."""
    assert len(parse_accept("image/png," * 10_000)) == 64
    assert best_match("image/png," * 64 + HTML, OFFERS) is None


Range = tuple[str, str, int]
RANGES = st.lists(
    st.tuples(st.sampled_from(["*/*", "application/*", "text/*", *OFFERS, "image/png"]), st.integers(0, 1000)),
    min_size=1,
    max_size=8,
    unique_by=lambda media_range: media_range[0],
)


@given(RANGES, st.sampled_from(["", " ", "\t"]), st.booleans())
def test_an_offer_of_the_highest_quality_is_chosen(ranges: list[tuple[str, int]], blank: str, upper: bool) -> None:
    """For any header, the choice has the highest quality of all offers, by each offer's own most specific range."""
    header = f"{blank},{blank}".join(f"{name}{blank};{blank}q={thousandths / 1000:.3f}" for name, thousandths in ranges)
    quality = dict(ranges)

    def quality_of(offer: str) -> int:
        group = f"{offer.partition('/')[0]}/*"
        return next((quality[name] for name in (offer, group, "*/*") if name in quality), 0)

    best = max(map(quality_of, OFFERS))
    choice = best_match(header.upper() if upper else header, OFFERS)
    assert (choice is None) == (best == 0)
    assert choice is None or quality_of(choice) == best


@given(st.text(max_size=200))
def test_any_header_has_a_choice(text: str) -> None:
    """For any header, the choice is one of the offers or None."""
    assert best_match(text, OFFERS) in {*OFFERS, None}


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("text/html;q=0.1, application/json", JSON),
        ("application/json;q=0.1, text/html", HTML),
        (BROWSER, HTML),
        ("application/geo+json", JSON),
        ("text/html;q=0", JSON),
    ],
)
async def test_pages_are_negotiated(url: str, accept: str, media_type: str) -> None:
    """OGC resources are HTML exactly if the client prefers it to JSON."""
    async with aiohttp.ClientSession() as http, http.get(f"{url}/processes", headers={"Accept": accept}) as response:
        assert response.content_type == media_type


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        (NDJSON, NDJSON),
        ("application/json;q=0.5, application/x-ndjson", NDJSON),
        ("application/x-ndjson;q=0.5, application/json", JSON),
        ("application/x-ndjson;q=0", JSON),
        ("*/*", JSON),
    ],
)
async def test_answers_are_negotiated(url: str, accept: str, media_type: str) -> None:
    """Answers come as lines of JSON exactly if the client prefers them to one document."""
    body = {"model": MODEL, "image": DATA_URL, "questions": ["How many ships are in the image?"]}
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{url}/v1/sar/vqa", json=body, headers={"Accept": accept}) as response,
    ):
        assert response.status == 200
        assert response.content_type == media_type
