"""Content negotiation of the OGC APIs: JSON or HTML, by ``Accept`` or ``?f=``."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any

import orjson
from fastapi import Query, Request, Response
from markupsafe import Markup
from pydantic import AfterValidator

from sarlens.api.common.accept import negotiate
from sarlens.errors import BadRequest

if TYPE_CHECKING:
    from jinja2 import Template

JSON, HTML, SCHEMA = "application/json", "text/html", "application/schema+json"
_MAX_TEXT_CHARS = 2000
"""Characters of one value on an HTML page."""
_CONTENT_SECURITY_POLICY = "default-src 'none'; style-src 'unsafe-inline'"

Document = dict[str, Any]
_MAX_LIMIT = 10_000

Limit = Annotated[
    int,
    Query(
        ge=1,
        description="Maximum number of items. A larger number than `maximum` counts as `maximum`.",
        json_schema_extra={"maximum": _MAX_LIMIT},
    ),
    AfterValidator(lambda limit: min(limit, _MAX_LIMIT)),
]
"""``limit`` of a list. A larger number isn't an error (OGC 17-069r4, requirement 22 C)."""


def wants_html(request: Request) -> bool:
    """Whether the client prefers HTML to JSON, by ``?f=html`` or by its ``Accept`` header.

    Raises:
        BadRequest: ``f`` is neither html nor json.
    """
    requested_format = request.query_params.get("f")
    if requested_format not in {None, "html", "json"}:
        raise BadRequest("f must be html or json.", param="f")
    if requested_format is not None:
        return requested_format == "html"
    return negotiate(request.headers, (JSON, "application/geo+json", SCHEMA, HTML)) == HTML


def negotiate_response(
    request: Request,
    document: Document,
    title: str,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    media_type: str = JSON,
) -> Response:
    """Return a document as JSON with ``media_type``, or as an HTML page."""
    if not wants_html(request):
        return Response(orjson.dumps(document), status, headers, media_type)
    page = _page_template().render(title=title, body=_table(document), links=document.get("links", ()))
    return Response(page, status, {**(headers or {}), "Content-Security-Policy": _CONTENT_SECURITY_POLICY}, HTML)


@cache
def _page_template() -> Template:
    """Load Jinja and the template of pages, with the first page."""
    from jinja2 import Environment, PackageLoader, select_autoescape  # noqa: PLC0415

    pages = Environment(
        loader=PackageLoader("sarlens.api.ogc", "."), autoescape=select_autoescape(["html"], default=True)
    )
    return pages.get_template("page.html")


def _table(value: Any) -> Markup:
    """Format JSON as nested tables with escaped texts."""
    if isinstance(value, dict):
        row = Markup("<tr><th>{}</th><td>{}</td></tr>")
        rows = (row.format(name, _table(member)) for name, member in value.items() if name != "links")
        return Markup("<table>{}</table>").format(Markup("").join(rows))
    if isinstance(value, list | tuple):
        items = (Markup("<li>{}</li>").format(_table(item)) for item in value)
        return Markup("<ol>{}</ol>").format(Markup("").join(items))
    text = orjson.dumps(value).decode() if isinstance(value, bool | None) else str(value)
    return Markup("{}").format(text[:_MAX_TEXT_CHARS])


def base_url(request: Request, public_url: str | None) -> str:
    """Return the start of all links: the public URL of the settings, or the URL of the request."""
    return public_url or str(request.base_url).rstrip("/")


def link(href: str, rel: str, title: str, media_type: str = JSON) -> Document:
    """Return a link (RFC 8288)."""
    return {"href": href, "rel": rel, "type": media_type, "title": title}


def reject_unknown_params(request: Request, *names: str) -> None:
    """Raise BadRequest for a query parameter other than ``names`` and ``f``, as OGC API - Features requires."""
    for name in request.query_params:
        if name not in {*names, "f"}:
            allowed = ", ".join((*names, "f"))
            raise BadRequest(f"Unknown query parameter {name[:50]!r}. Allowed parameters: {allowed}.", param=name)
