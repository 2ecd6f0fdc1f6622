"""A source behind a paged JSON API: its clock and the change records of a window."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import httpx

from dartifact.adapters.sources.rest_calls import DEADLINE, MAX_BODY, Answer, Caller, Limits, open_caller
from dartifact.adapters.sources.rest_paging import (
    CursorPaging,
    LinkPaging,
    NotAPage,
    OffsetPaging,
    Paging,
    Unsteady,
    next_offset,
    read_cursor,
    read_link,
    read_rows,
    read_total,
)
from dartifact.domain.errors import SourceMalformed, UsageError

_SHOWN_PARAMETERS = frozenset({"updated_after", "updated_until", "limit", "shard", "shards"})


class RestSource:
    """A REST source of one dataset.

    `paging` says how it cuts rows into pages. `timeout` is how many seconds may pass without a byte. Refused or broken
    connections, 429 and 503 are asked again up to `attempts` times in all, after `pause` seconds and then twice as
    many each time, or after what `Retry-After` says; a source that wants more than `MAX_WAIT` seconds is unavailable.
    A timeout is not asked again. `deadline` caps the seconds of one whole window, `max_body` the decoded bytes of one
    page; None for no limit.
    `keys_path` answers, in the same pages, the key columns of every record there is: for a source that tells no
    deletions. `token` is asked before each request for the bearer token to send with it; links never take it to
    another host.
    """

    def __init__(
        self,
        base_url: str,
        path: str,
        *,
        paging: Paging = LinkPaging(),  # noqa: B008  (a frozen value)
        keys_path: str | None = None,
        token: Callable[[], str] | None = None,
        timeout: float = 30.0,
        page_size: int = 2000,
        attempts: int = 3,
        pause: float = 0.5,
        deadline: float | None = DEADLINE,
        max_body: int | None = MAX_BODY,
    ) -> None:
        try:
            self._base = httpx.URL(base_url)
        except httpx.InvalidURL as error:
            raise UsageError(f"the base URL of {path} is not a URL: {error}") from error
        if self._base.scheme not in ("http", "https") or not self._base.host:
            raise UsageError(f"the base URL of {path} must begin with http:// or https:// and name a host")
        if token is not None and self._base.userinfo:
            raise UsageError(f"the base URL of {path} names a user, and there is a token: one of them is needed")
        if attempts < 1 or page_size < 1:
            raise UsageError(f"reading {path} needs at least one attempt and one row a page")
        self._data = self._locate(path)
        self._keys = self._locate(keys_path) if keys_path else None
        self._paging = paging
        self._token = token
        self._page_size = page_size
        self._limits = Limits(timeout, attempts, pause, deadline, max_body)

    def read_clock(self) -> datetime:
        """Return the source's own time: what `/clock` says or, where there is none, the `Date` header of the data."""
        with open_caller(self._limits, self._token, _SHOWN_PARAMETERS) as caller:
            answer = caller.get(self._locate("/clock"), missing_is_fine=True)
            if answer.status == 404:
                answer = caller.get(self._data.copy_merge_params({"limit": 1}))
                if date := answer.read_date("date"):
                    return date
                raise SourceMalformed(
                    f"{answer.url} sent no usable clock in the response: no valid Date header, got {answer}"
                )
        value = answer.parse()
        try:
            now = datetime.fromisoformat(value["now"])
        except (TypeError, KeyError, ValueError) as error:
            raise SourceMalformed(f"{answer.url} sent no usable clock in the response: got {answer}") from error
        if now.utcoffset() is None:
            raise SourceMalformed(f"{answer.url} sent a clock without a time zone in the response: got {answer}")
        return now.astimezone(UTC)

    def fetch(self, lo: datetime, hi: datetime, *, shard: int = 0, shards: int = 1) -> Iterator[list[dict[str, Any]]]:
        """Yield the pages of change records with lo < updated_at <= hi of a shard, in the source's order.

        Pages are only good together: an error after some of them means that the window was not read.
        """
        url = self._data.copy_merge_params(
            {"updated_after": _stamp(lo), "updated_until": _stamp(hi), "limit": self._page_size}
        )
        if shards > 1:
            url = url.copy_merge_params({"shard": shard, "shards": shards})
        with open_caller(self._limits, self._token, _SHOWN_PARAMETERS) as caller:
            yield from self._read_pages(caller, url)

    def list_keys(self) -> Iterator[list[dict[str, Any]]]:
        """Yield pages of rows with the key columns of every record; UsageError where `keys_path` is not set."""
        if self._keys is None:
            raise UsageError(f"{self._data.path} has a key snapshot and no keys_path", hint="RestSource(keys_path=…)")
        with open_caller(self._limits, self._token, _SHOWN_PARAMETERS) as caller:
            yield from self._read_pages(caller, self._keys.copy_merge_params({"limit": self._page_size}))

    def _read_pages(self, caller: Caller, first: httpx.URL) -> Iterator[list[dict[str, Any]]]:
        url: httpx.URL | None = first
        seen: set[httpx.URL] = set()
        place = _Place()
        while url is not None:
            seen.add(url)
            answer = caller.get(url)
            body = answer.parse()
            try:
                rows = read_rows(self._paging, body)
                match self._paging:
                    case LinkPaging() as paging:
                        link = read_link(paging, body, answer.links)
                        url = None if link is None else self._follow(caller, url, link, answer)
                    case CursorPaging() as paging:
                        cursor = read_cursor(paging, body)
                        url = None if cursor is None else first.copy_merge_params({paging.parameter: cursor})
                    case OffsetPaging() as paging:
                        offset = place.move(rows, read_total(paging, body))
                        url = None if offset is None else first.copy_merge_params({paging.parameter: offset})
            except NotAPage as error:
                raise SourceMalformed(f"{answer.url} did not return {error}: got {answer}") from error
            except Unsteady as error:
                raise SourceMalformed(f"{answer.url} changed while it was read: {error}") from error
            yield rows
            if url in seen:
                raise SourceMalformed(f"{answer.url} is in a pagination loop: its next page was already read")

    def _follow(self, caller: Caller, url: httpx.URL, link: str, answer: Answer) -> httpx.URL:
        """Return the next page's URL with the base's own parameters, which a link need not repeat."""
        try:
            following = url.join(link)
        except httpx.InvalidURL as error:
            raise SourceMalformed(f"{answer.url} has a next page that is not a URL: got {answer}") from error
        if _origin(following) != _origin(self._base):
            raise SourceMalformed(
                f"{answer.url} sends us to another host for the next page: {caller.redact(following)}"
            )
        return following.copy_merge_params(self._base.params).copy_with(fragment=None, userinfo=self._base.userinfo)

    def _locate(self, path: str) -> httpx.URL:
        return self._base.copy_with(path=f"{self._base.path.rstrip('/')}/{path.lstrip('/')}")


class _Place:
    """Where reading by offset stands."""

    def __init__(self) -> None:
        self._offset = 0
        self._total: int | None = None
        self._page: list[dict[str, Any]] = []

    def move(self, rows: list[dict[str, Any]], total: int | None) -> int | None:
        """Go beyond a page; return the next one's offset, None after the last."""
        if rows and rows == self._page:
            raise NotAPage("a page other than the one before: it seems to ignore the offset")
        if not self._offset:
            self._total = total
        following = next_offset(self._offset, len(rows), total, self._total)
        self._page, self._offset = rows, following or 0
        return following


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _stamp(time: datetime) -> str:
    if time.utcoffset() is None:
        raise UsageError(f"a window needs times with a zone, not {time.isoformat()}")
    return time.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
