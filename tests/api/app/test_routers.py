"""Routers of the API: the routes themselves, with the responses of the application."""

from __future__ import annotations

from fastapi import APIRouter, FastAPI

from sarlens.api.app.routers import add_routers


def test_routes_are_added_and_not_constructed_again() -> None:
    """The application has the routers' own routes in order, and a route's own response wins over the application's."""
    app = FastAPI(openapi_url=None, responses={"4XX": {"description": "rejected"}, 404: {"description": "missing"}})
    first, second = APIRouter(), APIRouter()
    first.add_api_route("/a", lambda: None, responses={404: {"description": "no such scene"}})
    second.add_api_route("/b", lambda: None)
    kept = [*app.routes, *first.routes, *second.routes]
    add_routers(app, first, second)
    assert all(route is expected for route, expected in zip(app.routes, kept, strict=True))
    responses = [operation["get"]["responses"] for operation in app.openapi()["paths"].values()]
    texts = [(one["4XX"]["description"], one["404"]["description"], "422" in one) for one in responses]
    assert texts == [("rejected", "no such scene", False), ("rejected", "missing", False)]
