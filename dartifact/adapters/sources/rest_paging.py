"""How a JSON API cuts its rows into pages: the three styles, as values that a source's flow file declares.

A field is named by its path in the body, `meta.next_cursor`; "" is the body itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_ABSENT = object()


class NotAPage(Exception):
    """A body is not a page of the declared style; the message says what was expected."""


class Unsteady(Exception):
    """The rows changed while their pages were read, so that some may be missing. Read the window again."""


@dataclass(frozen=True, slots=True)
class LinkPaging:
    """Each page names the URL of the next one.

    In the field `link`, which has to be there and is null on the last page, or with `link=None` in the `Link` header
    (rel="next"), which the last page leaves out.
    """

    rows: str = "data"
    link: str | None = "next"


@dataclass(frozen=True, slots=True)
class CursorPaging:
    """Each page brings in the field `cursor` what to give as `parameter` for the next one; null or "" on the last.

    With `may_be_absent` a page without the field is the last one. Say so only of an API that leaves it out: a
    misspelt name would end each window after its first page.
    """

    rows: str = "data"
    cursor: str = "next_cursor"
    parameter: str = "cursor"
    may_be_absent: bool = False


@dataclass(frozen=True, slots=True)
class OffsetPaging:
    """Pages are asked for by how many rows come before them, until one is empty; a short page is not the last one.

    A row that leaves the window while its pages are read moves those behind it up, and one of them is never shown.
    Only with `total`, the field with the number of all rows, is that noticed: the window is then read again. An API
    that pages this way needs `total`, or rows that never change; where it has links or cursors, use those.
    """

    rows: str = "data"
    parameter: str = "offset"
    total: str | None = None


Paging = LinkPaging | CursorPaging | OffsetPaging


def read_rows(paging: Paging, body: Any) -> list[dict[str, Any]]:
    """Return the rows of a page; NotAPage when they are not where they were declared to be."""
    rows = _look_up(body, paging.rows)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise NotAPage(f"a page with rows in {_name(paging.rows)}")
    return rows


def read_link(paging: LinkPaging, body: Any, links: Mapping[str, Mapping[str, str]]) -> str | None:
    """Return the link to the next page, None on the last one. `links` are those of the `Link` header by relation."""
    if paging.link is None:
        return links.get("next", {}).get("url")
    link = _look_up(body, paging.link)
    if link is None or isinstance(link, str):
        return link
    raise NotAPage(f"a page with a link or null in {_name(paging.link)}")


def read_cursor(paging: CursorPaging, body: Any) -> str | None:
    """Return what to give for the next page, None on the last one."""
    match _look_up(body, paging.cursor):
        case None | "":
            return None
        case str() | int() as cursor if not isinstance(cursor, bool):
            return str(cursor)
        case value if value is _ABSENT and paging.may_be_absent:
            return None
        case _:
            raise NotAPage(f"a page with a cursor or null in {_name(paging.cursor)}")


def read_total(paging: OffsetPaging, body: Any) -> int | None:
    """Return how many rows there are in all, None where the API does not say."""
    if paging.total is None:
        return None
    total = _look_up(body, paging.total)
    if isinstance(total, int) and not isinstance(total, bool) and total >= 0:
        return total
    raise NotAPage(f"a page with a number of rows in {_name(paging.total)}")


def next_offset(before: int, rows: int, total: int | None, first_total: int | None) -> int | None:
    """Return the offset of the next page, None after the last one.

    `before` rows came before this page of `rows`; `first_total` is what the first page called the total. Unsteady when
    the total moved, or when the pages ended before it or went beyond it.
    """
    after = before + rows
    if total is None:
        return after if rows else None
    if total != first_total:
        raise Unsteady(f"there were {first_total:,} rows at its first page and {total:,} at a later one")
    if after > total or (not rows and after < total):
        raise Unsteady(f"it announced {total:,} rows and brought {after:,}")
    return after if after < total else None


def _look_up(body: Any, path: str) -> Any:
    value = body
    for name in path.split(".") if path else ():
        if not isinstance(value, dict) or name not in value:
            return _ABSENT
        value = value[name]
    return value


def _name(path: str) -> str:
    return f"`{path}`" if path else "its body"
