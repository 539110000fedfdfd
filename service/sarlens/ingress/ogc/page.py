"""One resource, two forms: JSON for programs, a page for people, as ``Accept`` or ``?f=`` says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from fastapi import Request, Response
from jinja2 import Environment, PackageLoader, select_autoescape
from markupsafe import Markup

from sarlens.errors import BadRequest

JSON, HTML = "application/json", "text/html"
_LONGEST = 2000
_RESTRICTED = "default-src 'none'; style-src 'unsafe-inline'"

_PAGES = Environment(
    loader=PackageLoader("sarlens.ingress.ogc", "."), autoescape=select_autoescape(["html"], default=True)
)

Document = dict[str, Any]


def wants_html(request: Request) -> bool:
    """Whether a person asks: ``?f=html``, or text/html before anything in JSON.

    Raises:
        BadRequest: ``f`` is neither html nor json.
    """
    said = request.query_params.get("f")
    if said not in {None, "html", "json"}:
        raise BadRequest("f is html or json.", param="f")
    if said is not None:
        return said == "html"
    accept = request.headers.get("accept", "")
    html, json = accept.find(HTML), accept.find("json")
    return html >= 0 and (json < 0 or html < json)


def shown(
    request: Request,
    told: Document,
    title: str,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    media_type: str = JSON,
) -> Response:
    """A document as the caller would have it."""
    if not wants_html(request):
        return Response(orjson.dumps(told), status, headers, media_type)
    page = _PAGES.get_template("page.html").render(title=title, body=_table(told), links=told.get("links", ()))
    return Response(page, status, {**(headers or {}), "Content-Security-Policy": _RESTRICTED}, HTML)


def _table(value: Any) -> Markup:
    """JSON as nested tables; every text in it is escaped."""
    if isinstance(value, dict):
        row = Markup("<tr><th>{}</th><td>{}</td></tr>")
        rows = (row.format(name, _table(each)) for name, each in value.items() if name != "links")
        return Markup("<table>{}</table>").format(Markup("").join(rows))
    if isinstance(value, list | tuple):
        items = (Markup("<li>{}</li>").format(_table(each)) for each in value)
        return Markup("<ol>{}</ol>").format(Markup("").join(items))
    text = orjson.dumps(value).decode() if isinstance(value, bool | None) else str(value)
    return Markup("{}").format(text[:_LONGEST])


def base_of(request: Request, public_url: str | None) -> str:
    """What links begin with: what the operator says, else where the request was sent."""
    return public_url or str(request.base_url).rstrip("/")


def link(href: str, rel: str, title: str, media_type: str = JSON) -> Document:
    """A link, RFC 8288."""
    return {"href": href, "rel": rel, "type": media_type, "title": title}


def known_only(request: Request, *names: str) -> None:
    """Raise BadRequest where a query has a parameter that is not one of ``names``, as OGC API Features wants it."""
    for name in request.query_params:
        if name not in {*names, "f"}:
            known = ", ".join((*names, "f"))
            raise BadRequest(f"There is no parameter {name[:50]!r} here; known are {known}.", param=name)
