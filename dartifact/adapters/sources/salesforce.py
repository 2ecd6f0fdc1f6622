"""A source in Salesforce: the current records of one object that changed, or were deleted, in a window."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from dartifact.adapters.sources.salesforce_errors import Expired, Passing, refuse_login, translated
from dartifact.domain.errors import SourceMalformed, SourceUnavailable, UsageError
from dartifact.domain.sources import SourceAccess

if TYPE_CHECKING:
    from requests import Response, Session  # type: ignore[import-untyped, unused-ignore]
    from simple_salesforce.api import Salesforce

T = TypeVar("T")

VERSION = "62.0"
PAGE = 2000
WARN_ABOVE = 0.8
_CONNECT_TIMEOUT = 5.0
_STAMP, _DELETED = "SystemModstamp", "IsDeleted"
_IDENTIFIER = re.compile(r"[A-Za-z]\w*")
_LIMIT = re.compile(r"api-usage=(\d+)/(\d+)")
_END = object()
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ApiLimit:
    """How many calls of the org's day were used, by everybody, of how many."""

    used: int
    total: int

    @property
    def share(self) -> float:
        """Return which part was used."""
        return self.used / self.total if self.total else 1.0


@dataclass
class _Place:
    """How far a window was read: up to the record `last` of this stamp; `ids` are all that came of it."""

    stamp: datetime
    last: str = ""
    ids: set[str] = field(default_factory=set)


class SalesforceSource:
    """One object of an org, read with client credentials.

    `columns` gives the field each column is read from; one of them is `SystemModstamp`. A record is told once, as it is
    now: versions between two windows are not seen, and fields that are not named are not read. Deleted records come
    with `_deleted` as long as they are in the recycle bin, 15 days. `timeout` is how many seconds may pass without a
    byte. What passes (no connection, 503, a result that was forgotten) is asked again up to `attempts` times without
    progress, an expired token is replaced; both go on where the window stood. `limit` is what the last answer said.
    """

    def __init__(
        self,
        access: SourceAccess,
        sobject: str,
        columns: Mapping[str, str],
        *,
        timeout: float = 30.0,
        attempts: int = 3,
        pause: float = 0.5,
    ) -> None:
        host = urlsplit(access.url)
        if host.scheme != "https" or not host.hostname or host.username:
            raise UsageError(f"the URL of {sobject} has to be https://, the host of the org and nothing else")
        if not access.client_id or not access.client_secret:
            hint = "set DARTIFACT_SALESFORCE_CLIENT_ID and DARTIFACT_SALESFORCE_CLIENT_SECRET"
            raise UsageError(f"{sobject} is read with a client id and secret, and there are none", hint=hint)
        if access.ca_file is not None and not access.ca_file.is_file():
            raise UsageError(f"{access.ca_file} is not a file", hint="see DARTIFACT_SALESFORCE_CA_FILE")
        if not all(_IDENTIFIER.fullmatch(name) for name in (sobject, *columns.values())):
            raise UsageError(f"{sobject} or a field read of it is not a Salesforce name")
        if _STAMP not in columns.values():
            raise UsageError(f"{sobject} needs a column that is read from {_STAMP}")
        if attempts < 1:
            raise UsageError(f"reading {sobject} needs at least one attempt")
        self.limit: ApiLimit | None = None
        self._access = access
        self._login_url = f"https://{host.netloc}"
        self._sobject = sobject
        self._columns = dict(columns)
        self._fields = ", ".join(dict.fromkeys(("Id", _DELETED, *columns.values())))
        self._timeout = (min(timeout, _CONNECT_TIMEOUT), timeout)
        self._attempts = attempts
        self._pause = pause
        self._org: Salesforce | None = None
        self._date: datetime | None = None
        self._warned = False

    def read_clock(self) -> datetime:
        """Return the org's own time, having tried login, object and fields: nothing is claimed that cannot be read."""
        soql = f"SELECT {self._fields} FROM {self._sobject} LIMIT 1"
        for _ in self._read(lambda org: iter(org.query(soql, timeout=self._timeout)["records"])):
            pass
        if self._date is None:
            raise SourceMalformed(f"{self._login_url} sent no usable clock in the response: no valid Date header")
        return self._date

    def fetch(self, lo: datetime, hi: datetime, *, shard: int = 0, shards: int = 1) -> Iterator[list[dict[str, Any]]]:
        """Yield pages of the records with lo < SystemModstamp <= hi, oldest first.

        Pages are only good together: an error after some of them means that the window was not read.
        """
        if shards != 1 or shard != 0:
            raise UsageError(f"{self._sobject} is read by one ingestor: Salesforce cannot be asked for a shard")
        if lo.utcoffset() is None or hi.utcoffset() is None:
            raise UsageError("a window needs times with a zone")
        page: list[dict[str, Any]] = []
        for row in self._read_window(lo, hi):
            page.append(row)
            if len(page) == PAGE:
                yield page
                page = []
        yield page

    def _read_window(self, lo: datetime, hi: datetime) -> Iterator[dict[str, Any]]:
        place = _Place(lo)

        def ask(org: Salesforce) -> Iterator[Mapping[str, Any]]:
            stamp = _write(place.stamp)
            beyond = f"{_STAMP} > {stamp}"
            if place.last:  # thousands of records may have one stamp
                beyond = f"({beyond} OR ({_STAMP} = {stamp} AND Id > '{place.last}'))"
            soql = (
                f"SELECT {self._fields} FROM {self._sobject} "
                f"WHERE {beyond} AND {_STAMP} <= {_write(hi)} ORDER BY {_STAMP}, Id"
            )
            return org.query_all_iter(soql, include_deleted=True, timeout=self._timeout)

        for record in self._read(ask):
            stamp, name = self._read_stamp(record), self._read_id(record)
            if stamp < place.stamp or (stamp == place.stamp and name in place.ids):
                raise SourceMalformed(
                    f"{self._login_url} is in a pagination loop: record {name} of {self._sobject} was already read"
                )
            if stamp > place.stamp:
                place.stamp, place.ids = stamp, set()
            place.last = name
            place.ids.add(name)
            yield self._row(record, stamp)

    def _row(self, record: Mapping[str, Any], stamp: datetime) -> dict[str, Any]:
        row = {column: record.get(name) for column, name in self._columns.items()}
        row |= {column: _write(stamp) for column, name in self._columns.items() if name == _STAMP}
        return {**row, "_deleted": bool(record.get(_DELETED))}

    def _read_id(self, record: Mapping[str, Any]) -> str:
        name = record.get("Id")
        if isinstance(name, str) and name.isascii() and name.isalnum():
            return name
        raise SourceMalformed(f"{self._login_url} returned a {self._sobject} without Id")

    def _read_stamp(self, record: Mapping[str, Any]) -> datetime:
        try:
            stamp = datetime.fromisoformat(record[_STAMP])
        except (KeyError, TypeError, ValueError) as error:
            raise SourceMalformed(f"{self._login_url} returned a {self._sobject} without {_STAMP}") from error
        if stamp.utcoffset() is None:
            raise SourceMalformed(f"{self._login_url} returned a {self._sobject} whose {_STAMP} has no zone")
        return stamp.astimezone(UTC)

    def _read(self, ask: Callable[[Salesforce], Iterator[T]]) -> Iterator[T]:
        """Yield what an org is asked for; `ask` is called again, to go on, after what passes. Progress begins anew."""
        failures, refreshed = 0, False
        while True:
            try:
                with translated(self._login_url, self._timeout[1]):
                    answers = ask(self._connect())
                while True:
                    with translated(self._login_url, self._timeout[1]):
                        answer = next(answers, _END)
                    if answer is _END:
                        return
                    failures, refreshed = 0, False
                    yield answer  # type: ignore[misc]
            except Expired as error:
                self._org = None
                if refreshed:
                    raise SourceMalformed(f"{self._login_url} denied access: got {error}") from error
                refreshed = True
            except Passing as error:
                failures += 1
                if failures >= self._attempts:
                    raise SourceUnavailable(str(error)) from error
                time.sleep(self._pause * 2 ** (failures - 1))

    def _connect(self) -> Salesforce:
        """Return the org, logged in."""
        if self._org is None:
            from simple_salesforce.api import Salesforce  # noqa: PLC0415  (a third of a second)

            session = self._open_session()
            token, instance = self._log_in(session)
            self._org = Salesforce(
                instance_url=instance,
                session_id=token,
                session=session,
                version=VERSION,
                parse_float=Decimal,
                object_pairs_hook=dict,
            )
        return self._org

    def _open_session(self) -> Session:
        import requests  # type: ignore[import-untyped, unused-ignore]  # noqa: PLC0415
        from requests.utils import get_environ_proxies  # type: ignore[import-untyped, unused-ignore]  # noqa: PLC0415

        session = requests.Session()
        # Else REQUESTS_CA_BUNDLE would win over `verify`, and a netrc over the token. Proxies are still wanted.
        session.trust_env = False
        session.proxies.update(get_environ_proxies(self._login_url))
        session.verify = True if self._access.ca_file is None else str(self._access.ca_file)
        session.hooks["response"].append(self._note)
        return session

    def _log_in(self, session: Session) -> tuple[str, str]:
        form = {
            "grant_type": "client_credentials",
            "client_id": self._access.client_id,
            "client_secret": self._access.client_secret,
        }
        url = f"{self._login_url}/services/oauth2/token"
        answer = session.post(url, data=form, timeout=self._timeout, allow_redirects=False)
        if answer.status_code != 200:
            raise refuse_login(self._login_url, answer)
        match answer.json():
            case {"access_token": str(token), "instance_url": str(instance)} if instance.startswith("https://"):
                return token, instance
        raise SourceMalformed(f"{self._login_url} returned no token for an https:// instance")

    def _note(self, answer: Response, *_: Any, **__: Any) -> None:
        """Keep what each answer tells beside its data: the time, and the calls that are left."""
        try:
            date = parsedate_to_datetime(answer.headers.get("Date", ""))
        except ValueError:
            date = None
        self._date = None if date is None or date.tzinfo is None else date.astimezone(UTC)
        if found := _LIMIT.search(answer.headers.get("Sforce-Limit-Info", "")):
            self.limit = ApiLimit(int(found[1]), int(found[2]))
            if self.limit.share > WARN_ABOVE and not self._warned:
                self._warned = True
                _log.warning("%s: %s of %s API calls of the day are used", self._login_url, *_count(self.limit))


def _count(limit: ApiLimit) -> tuple[str, str]:
    return f"{limit.used:,}", f"{limit.total:,}"


def _write(stamp: datetime) -> str:
    """Write a time in whole seconds, which is what SystemModstamp has."""
    return stamp.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
