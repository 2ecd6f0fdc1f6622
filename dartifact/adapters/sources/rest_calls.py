"""One request to a JSON API: asked again where that helps, refused in one line, without secrets, where it does not."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any, NoReturn

import httpx

from dartifact.domain.errors import SourceMalformed, SourceUnavailable
from dartifact.domain.texts import fit_line

CONNECT_TIMEOUT = 5.0
MAX_WAIT = 30.0
DEADLINE = 1800.0
"""Seconds that one window may take where a source says nothing else: its next windows wait for it."""
MAX_BODY = 64_000_000
"""Decoded bytes of one page where a source says nothing else: a page is held in memory."""
_PASSING = frozenset({429, 503})


@dataclass(frozen=True, slots=True)
class Limits:
    """What a call may take. `timeout` is seconds without a byte, `deadline` seconds in all, `max_body` bytes a page.

    `attempts` are all tries of one request, the second `pause` seconds after the first, each later one after twice
    as many.
    """

    timeout: float
    attempts: int
    pause: float
    deadline: float | None
    max_body: int | None


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for a URL. `url` is fit for people: without user, password and unknown parameters."""

    url: str
    status: int
    headers: httpx.Headers
    body: bytes

    def __str__(self) -> str:
        kind = fit_line(self.headers.get("content-type", "without content type"), 60)
        return f"{self.status} {kind}: {self._read_message() or fit_line(self.body[:600].decode(errors='replace'), 60)}"

    def _read_message(self) -> str:
        """Return what a refusal says in JSON, empty where it is put in another way."""
        if self.status == 200 or len(self.body) > 10_000:
            return ""
        with suppress(ValueError, RecursionError):
            match json.loads(self.body):
                case {"error": str(text)} | {"message": str(text)} | {"detail": str(text)}:
                    return fit_line(text, 200)
        return ""

    def parse(self) -> Any:
        """Return the body's JSON with exact decimals."""
        try:
            return json.loads(self.body, parse_float=Decimal, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise SourceMalformed(f"{self.url} did not return JSON: got {self}") from error

    @property
    def links(self) -> dict[str, dict[str, str]]:
        """Return the links of the `Link` header by relation."""
        return httpx.Response(200, headers=self.headers).links  # type: ignore[return-value]

    def read_date(self, header: str) -> datetime | None:
        """Return a header's HTTP date in UTC; None when there is none or it is not a date."""
        try:
            date = parsedate_to_datetime(self.headers.get(header, ""))
        except ValueError:
            return None
        return None if date.tzinfo is None else date.astimezone(UTC)


class Caller:
    """Sends the requests of one call of a source. The one place where httpx errors become ours.

    `token` is asked before each request for what to send as bearer token; `shown` names the parameters that may be
    told to people.
    """

    def __init__(
        self, client: httpx.Client, limits: Limits, token: Callable[[], str] | None, shown: frozenset[str]
    ) -> None:
        self._client = client
        self._limits = limits
        self._token = token
        self._shown = shown
        self._ends = None if limits.deadline is None else time.monotonic() + limits.deadline

    def get(self, url: httpx.URL, *, missing_is_fine: bool = False) -> Answer:
        """Ask until there is an answer that waiting does not change, and return it if it is a good one."""
        for attempt in range(1, self._limits.attempts + 1):
            wait = self._limits.pause * 2 ** (attempt - 1)
            try:
                answer = self._ask(url)
            except _Broken as error:
                problem, cause = f"{self.redact(url)} cannot be reached: {error}", error.__cause__
            else:
                if answer.status not in _PASSING:
                    _refuse_errors(answer, missing_is_fine=missing_is_fine)
                    return answer
                problem, cause = f"{answer.url} is not available: got {answer}", None
                wait = _read_retry_after(answer) or wait
            if wait > MAX_WAIT:
                raise SourceUnavailable(f"{problem}; it asks to wait {wait:.0f} s") from cause
            if attempt < self._limits.attempts:
                self._refuse_late(url, wait)
                time.sleep(wait)
        raise SourceUnavailable(problem) from cause

    def redact(self, url: httpx.URL) -> str:
        """Return a URL for people: without user, password and parameters that are not ours, which may be secrets."""
        ours = {name: value for name, value in url.params.items() if name in self._shown}
        return str(url.copy_with(userinfo=b"", fragment=None, query=str(httpx.QueryParams(ours)).encode() or None))

    def _ask(self, url: httpx.URL) -> Answer:
        """Send one request."""
        chunks: list[bytes] = []
        shown, size = self.redact(url), 0
        response: httpx.Response | None = None
        headers = {} if self._token is None else {"Authorization": f"Bearer {self._token()}"}
        self._refuse_late(url, 0)
        try:
            with self._client.stream("GET", url, headers=headers) as response:
                for chunk in response.iter_bytes():  # one by one: what came before an error is shown
                    chunks.append(chunk)
                    size += len(chunk)
                    self._refuse_late(url, 0)
                    if self._limits.max_body is not None and size > self._limits.max_body:
                        raise SourceMalformed(f"{shown} sent more than {self._limits.max_body:,} bytes for one page")
            return Answer(shown, response.status_code, response.headers, b"".join(chunks))
        except httpx.ConnectTimeout as error:
            raise _Broken(f"no connection within {self._client.timeout.connect:g} s") from error
        except httpx.TimeoutException as error:
            raise SourceUnavailable(f"{shown} sent nothing for {self._limits.timeout:g} s") from error
        except (httpx.NetworkError, httpx.ProxyError) as error:
            raise _Broken(str(error) or type(error).__name__) from error
        except (httpx.RemoteProtocolError, httpx.DecodingError) as error:
            if response is None:
                raise _Broken(str(error)) from error
            answer = Answer(shown, response.status_code, response.headers, b"".join(chunks))
            raise SourceMalformed(f"{shown} broke off in the middle of the response: got {answer}") from error

    def _refuse_late(self, url: httpx.URL, wait: float) -> None:
        if self._ends is not None and time.monotonic() + wait > self._ends:
            raise SourceUnavailable(f"{self.redact(url)} was not read within {self._limits.deadline:g} s in all")


@contextmanager
def open_caller(limits: Limits, token: Callable[[], str] | None, shown: frozenset[str]) -> Iterator[Caller]:
    """Yield what sends the requests of one call, over connections of its own."""
    timeout = httpx.Timeout(limits.timeout, connect=min(limits.timeout, CONNECT_TIMEOUT))
    with httpx.Client(timeout=timeout, headers={"Accept": "application/json"}, verify=_trust()) as client:
        yield Caller(client, limits, token, shown)


@lru_cache
def _trust() -> ssl.SSLContext:
    """Return the certificates to trust; reading them takes longer than many a window."""
    return httpx.create_ssl_context()


class _Broken(Exception):
    """No connection, or one that broke: worth asking again."""


def _refuse_errors(answer: Answer, *, missing_is_fine: bool) -> None:
    if answer.status == 200 or (answer.status == 404 and missing_is_fine):
        return
    if answer.status >= 500:
        raise SourceUnavailable(f"{answer.url} is not available: got {answer}")
    if answer.status in (401, 403):
        raise SourceMalformed(f"{answer.url} denied access: got {answer}")
    if answer.status >= 400:
        raise SourceMalformed(f"{answer.url} refused the request: got {answer}")
    raise SourceMalformed(f"{answer.url} did not return 200: got {answer}")


def _read_retry_after(answer: Answer) -> float | None:
    """Return the seconds `Retry-After` asks for; a date counts from the source's clock, which need not be ours."""
    text = answer.headers.get("retry-after", "")
    if text.isdecimal():
        return float(text)
    if date := answer.read_date("retry-after"):
        return max(0.0, (date - (answer.read_date("date") or datetime.now(UTC))).total_seconds())
    return None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
