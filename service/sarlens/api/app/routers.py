"""Routers of the API, added to an application."""

from __future__ import annotations

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute


def add_routers(app: FastAPI, *routers: APIRouter) -> None:
    """Add the routes of routers that have no prefix and no dependencies, with the responses of the application.

    ``FastAPI.include_router`` constructs each route a second time, which takes a third of the time of a start.
    """
    for router in routers:
        for route in router.routes:
            if isinstance(route, APIRoute):
                route.responses = {**app.router.responses, **route.responses}
        app.router.routes += router.routes
