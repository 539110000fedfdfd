"""OGC landing page and conformance declaration."""

from __future__ import annotations

from ogc.client import REL, call


async def test_every_link_of_the_landing_page_answers(base: str) -> None:
    """GET / links to the API, conformance, processes, jobs, collections and tile matrix sets; each link answers 200."""
    status, document, _ = await call("GET", base + "/")
    assert status == 200
    links = {link["rel"]: link["href"] for link in document["links"]}
    assert set(links) == {
        "self",
        "alternate",
        "service-desc",
        "service-doc",
        "conformance",
        "data",
        f"{REL}conformance",
        f"{REL}processes",
        f"{REL}job-list",
        f"{REL}tiling-schemes",
    }
    for href in links.values():
        assert (await call("GET", href))[0] == 200


async def test_the_conformance_classes_are_declared(base: str) -> None:
    """GET /conformance lists classes of Processes and Features, with schemas, and without callbacks or OpenAPI 3.0."""
    status, document, _ = await call("GET", f"{base}/conformance")
    assert status == 200
    classes = document["conformsTo"]
    processes = {uri.rpartition("/")[2] for uri in classes if "ogcapi-processes-1/1.0/conf/" in uri}
    assert processes == {"core", "json", "html", "ogc-process-description", "job-list", "dismiss"}
    features = {uri.rpartition("/")[2] for uri in classes if "ogcapi-features-1/1.0/conf/" in uri}
    assert features == {"core", "geojson"}
    schemas = {uri.rpartition("/")[2] for uri in classes if "ogcapi-features-5/1.0/conf/" in uri}
    assert schemas == {"schemas", "core-roles-features"}
