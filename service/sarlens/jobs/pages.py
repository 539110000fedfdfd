"""Pages of lists in the order of creation, after the last element of the page before."""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy import Column, ColumnElement, Connection, Select, select, tuple_

from sarlens.errors import BadRequest


class Page(NamedTuple):
    """A part of a list."""

    after: str | None = None
    """Id of the element before the first one."""
    limit: int = 20
    oldest_first: bool = False


def select_page(
    db: Connection,
    query: Select[Any],
    columns: tuple[Column[Any], Column[Any]],
    page: Page,
    *conditions: ColumnElement[bool],
) -> Select[Any]:
    """Return a query for the rows of a page that match the conditions.

    ``columns`` are the time of creation, and the id.

    Raises:
        BadRequest: ``page.after`` is no id of a row that matches.
    """
    created, id_ = columns
    order = [column.asc() if page.oldest_first else column.desc() for column in columns]
    if page.after is not None:
        last = db.execute(select(created, id_).where(*conditions, id_ == page.after)).one_or_none()
        if last is None:
            raise BadRequest("after must be the id of an element of the list.", param="after")
        place, before = tuple_(created, id_), tuple_(*last)
        conditions = (*conditions, place > before if page.oldest_first else place < before)
    return query.where(*conditions).order_by(*order).limit(page.limit)
