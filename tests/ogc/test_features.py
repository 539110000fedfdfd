"""OGC API - Features 1.0: the collection of answers."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from ogc.client import HOW_MANY, SCENE, SURVEY, call


@pytest.fixture
async def items(base: str) -> str:
    """URL of the items, after a survey with 12 tiles."""
    status, document, _ = await call("POST", f"{base}/processes/survey/execution", SURVEY)
    assert status == 200, document
    return f"{base}/collections/answers/items"


def links(document: dict[str, Any]) -> dict[str, str]:
    """Return the links of a page by their relation."""
    return {link["rel"]: link["href"] for link in document["links"]}


async def test_items_are_paged(items: str) -> None:
    """Pages of 5, 5 and 2 items have each of the 12 answers once, and lead back to the first page."""
    _, page, _ = await call("GET", f"{items}?limit=5")
    assert (page["numberMatched"], page["numberReturned"]) == (12, 5)
    assert "prev" not in links(page)
    first, sizes = page, [5]
    ids = [feature["id"] for feature in page["features"]]
    while "next" in links(page):
        _, page, _ = await call("GET", links(page)["next"])
        sizes.append(page["numberReturned"])
        ids += [feature["id"] for feature in page["features"]]
    assert sizes == [5, 5, 2]
    assert len(set(ids)) == len(ids) == 12
    for _ in range(2):
        _, page, _ = await call("GET", links(page)["prev"])
    assert page["features"] == first["features"]


async def test_items_are_filtered(items: str) -> None:
    """bbox selects the answer at a place, datetime by time, and job, question and image by their values."""
    _, page, _ = await call("GET", f"{items}?limit=5")
    feature = page["features"][0]
    ring = feature["geometry"]["coordinates"][0]
    lon, lat = ring[0][0] + 0.001, ring[0][1] - 0.001
    for bbox in (f"{lon},{lat},{lon + 1e-4},{lat + 1e-4}", f"{lon},{lat},0,{lon + 1e-4},{lat + 1e-4},9"):
        _, near, _ = await call("GET", f"{items}?bbox={bbox}")
        assert [item["id"] for item in near["features"]] == [feature["id"]]
    job_id = feature["properties"]["survey"]
    for query, matched in (
        (f"job={job_id}", 12),
        ("job=none", 0),
        ("datetime=../2020-01-01T00:00:00Z", 0),
        ("datetime=2020-01-01T00:00:00Z/..", 12),
        (f"question={quote(HOW_MANY)}", 12),
        ("question=How%20many", 0),
        (f"image={quote(SCENE)}&job={job_id}", 12),
        ("image=s3://scenes/other.tif", 0),
        ("image=", 0),
    ):
        assert (await call("GET", f"{items}?{query}"))[1]["numberMatched"] == matched, query


async def test_an_item_is_found_by_its_id(items: str) -> None:
    """An item has the members of the feature, plus links to itself and the collection."""
    _, page, _ = await call("GET", f"{items}?limit=1")
    (feature,) = page["features"]
    _, item, _ = await call("GET", f"{items}/{feature['id']}")
    assert {name: value for name, value in item.items() if name != "links"} == feature
    assert links(item) == {"self": f"{items}/{feature['id']}", "collection": items.removesuffix("/items")}
    status, problem, _ = await call("GET", f"{items}/none")
    assert (status, problem["detail"]) == (404, "Answer 'none' doesn't exist.")


@pytest.mark.parametrize("path", ["collections/answers/items", "jobs", "processes"])
async def test_a_large_limit_is_capped(base: str, path: str) -> None:
    """A limit above the maximum isn't an error (OGC 17-069r4, requirement 22 C), not even one above 64 bits."""
    for limit in (10_001, 2**70):
        status, document, _ = await call("GET", f"{base}/{path}?limit={limit}")
        assert status == 200, document


@pytest.mark.parametrize(
    "query", ["bbox=1,2,3", "bbox=a,b,c,d", "bbox=0,2,1,1", "bbox=0,0,361,1", "limit=0", "color=red", "datetime=x"]
)
async def test_an_invalid_parameter_is_a_400(base: str, query: str) -> None:
    """Invalid values and unknown parameters are a 400 with a problem document."""
    status, document, headers = await call("GET", f"{base}/collections/answers/items?{query}")
    assert (status, document["code"]) == (400, "bad_request")
    assert headers["content-type"].startswith("application/problem+json")


async def test_an_unknown_collection_is_a_404(base: str) -> None:
    """Every route of an unknown collection is a 404 that names the list of collections."""
    for name in ("none", "0" * 32, f"{'0' * 32}-0", "answers-0"):
        for path in ("", "/items", "/items/x", "/schema", "/schemas/feature"):
            status, document, _ = await call("GET", f"{base}/collections/{name}{path}")
            assert (status, document["code"]) == (404, "not_found")
            message = f"Collection '{name}' doesn't exist. /collections lists the collections of the caller."
            assert document["detail"] == message


async def test_items_are_a_page_for_a_browser(items: str) -> None:
    """With f=html, the page has the question of each answer, and links to the next page."""
    _, page, headers = await call("GET", f"{items}?limit=5&f=html")
    assert headers["content-type"].startswith("text/html")
    assert page.count(HOW_MANY) == 5
    assert "offset=5" in page
