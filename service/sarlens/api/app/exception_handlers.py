"""Exceptions of FastAPI routes, answered as the middlewares answer theirs."""

from __future__ import annotations

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Match

from sarlens.api.common.error_responses import INTERNAL_ERROR_MESSAGE, render_error
from sarlens.errors import BadRequest, MethodNotAllowed, NotFound, SarlensError
from sarlens.validation import InvalidField


def add_exception_handlers(app: FastAPI) -> None:
    """Answer every exception of an application's routes with an error of the error table."""
    for exception in (SarlensError, HTTPException, RequestValidationError, Exception):
        app.add_exception_handler(exception, _handle)


async def _handle(request: Request, exception: Exception) -> Response:
    error = _to_sarlens_error(request, exception)
    if error is None:
        # Starlette raises it again after this response, and TelemetryMiddleware logs and counts it.
        error = SarlensError(INTERNAL_ERROR_MESSAGE)
    else:
        request.state.record.set_error(error)
    status, headers, body = render_error(error, request.scope["path"], request.state.headers.request_id)
    return Response(body, status, headers)


def _to_sarlens_error(request: Request, exception: Exception) -> SarlensError | None:
    match exception:
        case SarlensError():
            return exception
        case HTTPException(status_code=405):
            message = f"{request.url.path} doesn't support the method {request.method}."
            return MethodNotAllowed(message, allow=_methods(request))
        case HTTPException():
            return NotFound(f"There is no resource at {request.url.path}.")
        case RequestValidationError():
            details = exception.errors()[0]
            field = InvalidField.from_details({**details, "loc": details["loc"][1:]})
            return BadRequest(f"{field.describe('The request')}.", param=field.name)
    return None


def _methods(request: Request) -> list[str]:
    """The methods of all routes that match the path."""
    routes = [route for route in request.app.routes if route.matches(request.scope)[0] is not Match.NONE]
    methods = {method for route in routes for method in getattr(route, "methods", None) or ()}
    return sorted(methods | {"HEAD"} if "GET" in methods else methods)
