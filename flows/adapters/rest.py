"""A source behind a paged JSON API: its clock and the change records of a window."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any, NoReturn

import httpx

from flows.domain.errors import SourceMalformed, SourceUnavailable, UsageError

CONNECT_TIMEOUT = 5.0
MAX_WAIT = 30.0
_SHOWN_PARAMETERS = frozenset({"updated_after", "updated_until", "limit", "shard", "shards"})
_PASSING = frozenset({429, 503})


@dataclass(frozen=True, slots=True)
class _Answer:
    """What came back for a URL. `url` is fit for people: without user, password and unknown parameters."""

    url: str
    status: int
    headers: httpx.Headers
    body: bytes

    def __str__(self) -> str:
        kind = _fit(self.headers.get("content-type", "without content type"), 60)
        return f"{self.status} {kind}: {self._read_message() or _fit(self.body[:600].decode(errors='replace'), 60)}"

    def _read_message(self) -> str:
        """Return what a refusal says in JSON, empty where it is put in another way."""
        if self.status == 200 or len(self.body) > 10_000:
            return ""
        with suppress(ValueError, RecursionError):
            match json.loads(self.body):
                case {"error": str(text)} | {"message": str(text)} | {"detail": str(text)}:
                    return _fit(text, 200)
        return ""

    def parse(self) -> Any:
        """Return the body's JSON with exact decimals."""
        try:
            return json.loads(self.body, parse_float=Decimal, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise SourceMalformed(f"{self.url} did not answer JSON: got {self}") from error

    def read_date(self, header: str) -> datetime | None:
        """Return a header's HTTP date in UTC; None when there is none or it is not a date."""
        try:
            date = parsedate_to_datetime(self.headers.get(header, ""))
        except ValueError:
            return None
        return None if date.tzinfo is None else date.astimezone(UTC)


class RestSource:
    """A REST source of one dataset.

    `timeout` is how many seconds may pass without a byte. Refused or broken connections, 429 and 503 are asked again
    up to `attempts` times in all, after `pause` seconds and then twice as many each time, or after what `Retry-After`
    says; a source that wants more than `MAX_WAIT` seconds is unavailable. A timeout is not asked again.
    """

    def __init__(
        self,
        base_url: str,
        path: str,
        *,
        timeout: float = 30.0,
        page_size: int = 2000,
        attempts: int = 3,
        pause: float = 0.5,
    ) -> None:
        try:
            self._base = httpx.URL(base_url)
        except httpx.InvalidURL as error:
            raise UsageError(f"the base URL of {path} is not a URL: {error}") from error
        if self._base.scheme not in ("http", "https") or not self._base.host:
            raise UsageError(f"the base URL of {path} must begin with http:// or https:// and name a host")
        if attempts < 1 or page_size < 1:
            raise UsageError(f"reading {path} takes at least one attempt and one row a page")
        self._data = self._locate(path)
        self._timeout = httpx.Timeout(timeout, connect=min(timeout, CONNECT_TIMEOUT))
        self._page_size = page_size
        self._attempts = attempts
        self._pause = pause

    def read_clock(self) -> datetime:
        """Return the source's own time: what `/clock` says or, where there is none, the `Date` header of the data."""
        with self._open() as client:
            answer = self._get(client, self._locate("/clock"), missing_is_fine=True)
            if answer.status == 404:
                answer = self._get(client, self._data.copy_merge_params({"limit": 1}))
                if date := answer.read_date("date"):
                    return date
                raise SourceMalformed(f"{answer.url} tells no time: no usable Date header, got {answer}")
        value = answer.parse()
        try:
            now = datetime.fromisoformat(value["now"])
        except (TypeError, KeyError, ValueError) as error:
            raise SourceMalformed(f"{answer.url} tells no time: got {answer}") from error
        if now.utcoffset() is None:
            raise SourceMalformed(f"{answer.url} tells a time without a zone: got {answer}")
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
        seen: set[httpx.URL] = set()
        with self._open() as client:
            while True:
                seen.add(url)
                answer = self._get(client, url)
                rows, link = _read_page(answer)
                yield rows
                if link is None:
                    return
                url = self._follow(url, link, answer)
                if url in seen:
                    raise SourceMalformed(f"{answer.url} loops: its next page was read before")

    def _follow(self, url: httpx.URL, link: str, answer: _Answer) -> httpx.URL:
        """Return the next page's URL with the base's own parameters, which a link need not repeat."""
        try:
            following = url.join(link)
        except httpx.InvalidURL as error:
            raise SourceMalformed(f"{answer.url} has a next page that is not a URL: got {answer}") from error
        if _origin(following) != _origin(self._base):
            raise SourceMalformed(f"{answer.url} leaves its host: the next page is {_redact(following)}")
        return following.copy_merge_params(self._base.params).copy_with(fragment=None, userinfo=self._base.userinfo)

    def _locate(self, path: str) -> httpx.URL:
        return self._base.copy_with(path=f"{self._base.path.rstrip('/')}/{path.lstrip('/')}")

    def _open(self) -> httpx.Client:
        return httpx.Client(timeout=self._timeout, headers={"Accept": "application/json"}, verify=_trust())

    def _get(self, client: httpx.Client, url: httpx.URL, *, missing_is_fine: bool = False) -> _Answer:
        """Ask until there is an answer that waiting does not change, and return it if it is a good one."""
        for attempt in range(1, self._attempts + 1):
            wait = self._pause * 2 ** (attempt - 1)
            try:
                answer = _ask(client, url)
            except _Broken as error:
                problem, cause = f"{_redact(url)} cannot be reached: {error}", error.__cause__
            else:
                if answer.status not in _PASSING:
                    _refuse_errors(answer, missing_is_fine=missing_is_fine)
                    return answer
                problem, cause = f"{answer.url} is not available: got {answer}", None
                wait = _read_retry_after(answer) or wait
            if wait > MAX_WAIT:
                raise SourceUnavailable(f"{problem}; it asks to wait {wait:.0f} s") from cause
            if attempt < self._attempts:
                time.sleep(wait)
        raise SourceUnavailable(problem) from cause


@lru_cache
def _trust() -> ssl.SSLContext:
    """Return the certificates to trust; reading them takes longer than many a window."""
    return httpx.create_ssl_context()


class _Broken(Exception):
    """No connection, or one that broke: worth asking again."""


def _ask(client: httpx.Client, url: httpx.URL) -> _Answer:
    """Send one request. The one place where httpx errors become ours."""
    chunks: list[bytes] = []
    shown = _redact(url)
    response: httpx.Response | None = None
    try:
        with client.stream("GET", url) as response:
            for chunk in response.iter_bytes():  # one by one: what came before an error is shown
                chunks.append(chunk)
        return _Answer(shown, response.status_code, response.headers, b"".join(chunks))
    except httpx.ConnectTimeout as error:
        raise _Broken(f"no connection within {client.timeout.connect:g} s") from error
    except httpx.TimeoutException as error:
        raise SourceUnavailable(f"{shown} sent nothing for {client.timeout.read:g} s") from error
    except (httpx.NetworkError, httpx.ProxyError) as error:
        raise _Broken(str(error) or type(error).__name__) from error
    except (httpx.RemoteProtocolError, httpx.DecodingError) as error:
        if response is None:
            raise _Broken(str(error)) from error
        answer = _Answer(shown, response.status_code, response.headers, b"".join(chunks))
        raise SourceMalformed(f"{shown} broke off in the middle: got {answer}") from error


def _refuse_errors(answer: _Answer, *, missing_is_fine: bool) -> None:
    if answer.status == 200 or (answer.status == 404 and missing_is_fine):
        return
    if answer.status >= 500:
        raise SourceUnavailable(f"{answer.url} is not available: got {answer}")
    if answer.status in (401, 403):
        raise SourceMalformed(f"{answer.url} does not let us in: got {answer}")
    if answer.status >= 400:
        raise SourceMalformed(f"{answer.url} refused the request: got {answer}")
    raise SourceMalformed(f"{answer.url} did not answer 200: got {answer}")


def _read_page(answer: _Answer) -> tuple[list[dict[str, Any]], str | None]:
    """Return the rows and the link of a page `{"data": [{...}], "next": "..." or null}`."""
    match answer.parse():
        case {"data": list(rows), "next": str() | None as link} if all(isinstance(row, dict) for row in rows):
            return rows, link
        case _:
            raise SourceMalformed(f"{answer.url} did not answer a page with rows in `data` and `next`: got {answer}")


def _read_retry_after(answer: _Answer) -> float | None:
    """Return the seconds `Retry-After` asks for; a date counts from the source's clock, which need not be ours."""
    text = answer.headers.get("retry-after", "")
    if text.isdecimal():
        return float(text)
    if date := answer.read_date("retry-after"):
        return max(0.0, (date - (answer.read_date("date") or datetime.now(UTC))).total_seconds())
    return None


def _redact(url: httpx.URL) -> str:
    """Return a URL for people: without user, password and parameters that are not ours, which may be secrets."""
    ours = {name: value for name, value in url.params.items() if name in _SHOWN_PARAMETERS}
    return str(url.copy_with(userinfo=b"", fragment=None, query=str(httpx.QueryParams(ours)).encode() or None))


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _stamp(time: datetime) -> str:
    if time.utcoffset() is None:
        raise UsageError(f"a window needs times with a zone, not {time.isoformat()}")
    return time.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def _fit(text: str, size: int) -> str:
    """Return the beginning of a text on one line."""
    printable = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(printable.split())[:size] or "no text"


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
