"""The simulated company's Salesforce org: its customers behind the token endpoint and query API, over HTTPS.

Unlike the REST API it shows the current record of each customer, not every version, as Salesforce does; stamps are
whole seconds. Deleted records stay, marked, for `queryAll`.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from itertools import count
from pathlib import Path
from secrets import token_hex
from typing import Any
from urllib.parse import parse_qs, urlsplit

from dartifact.demo.certificates import open_tls
from dartifact.demo.company import Company, CompanyState
from dartifact.demo.company_site import CompanySite
from dartifact.demo.controls import Outage
from dartifact.demo.faults import FaultKind
from dartifact.demo.records import Row
from dartifact.demo.soql import Query, Record, Refused, parse_query
from dartifact.demo.web import HOST, Handler, Server

OBJECT = "Customer__c"
STAMP = "SystemModstamp"
PAGE = 2000
_KEPT = 50  # results whose later pages can be asked for, and queries that are remembered
CLIENT_ID, CLIENT_SECRET = "dartifact-demo", "known-to-everybody"  # of a server on loopback that holds made-up names
_API = "/services/data/v62.0"
_FIELDS = {
    "customer_id": "Customer_Number__c",
    "name": "Name",
    "email": "Email__c",
    "segment": "Segment__c",
    "country": "Country__c",
}
_TYPES = {"Id": "id", "IsDeleted": "boolean", "CreatedDate": "datetime", STAMP: "datetime"}


@dataclass
class _Token:
    """A token and how many calls it is good for, None for all."""

    calls: int | None


class SimulatedSalesforce:
    """The org, over what `sources` tell of the company. `api_limit` calls are allowed, of which `api_used` were made.

    Outages are those of customers. `before_query` is called before each page, for tests that change things there.
    """

    def __init__(self, sources: CompanySite, folder: Path) -> None:
        tls, self.ca_file = open_tls(folder, HOST)
        self._sources = sources
        self._lock = threading.Lock()
        self._tokens: dict[str, _Token] = {}
        self._results: dict[str, list[Record]] = {}
        self._numbers = count()
        self._records: dict[str, Record] = {}
        self._told = 0
        self.api_limit = 15_000
        self.api_used = 0
        self.logins = 0
        self.queries: deque[str] = deque(maxlen=_KEPT)
        self.before_query: Callable[[], None] = lambda: None
        self._server = Server(self, SalesforceHandler, 0, tls)

    @property
    def url(self) -> str:
        """Return the org's own URL, for the token and for the data."""
        return self._server.url

    @property
    def is_stopped(self) -> bool:
        """Say whether the company is stopped."""
        return self._sources.is_stopped

    def told_time(self) -> float:
        """Return the time to tell."""
        return self._sources.told_time()

    def start(self) -> None:
        """Answer requests until `stop`."""
        self._server.start()

    def stop(self) -> None:
        """Stop answering."""
        self._server.stop()

    def await_outage(self) -> Outage | None:
        """Return how customers misbehave, after having stalled if they are slow; None once stopped."""
        return self._sources.await_outage("customers")

    def log_in(self, form: dict[str, list[str]]) -> dict[str, Any] | None:
        """Return a new token, None when the client is not the known one."""
        if [form.get(name) for name in ("grant_type", "client_id", "client_secret")] != [
            ["client_credentials"],
            [CLIENT_ID],
            [CLIENT_SECRET],
        ]:
            return None
        token = f"00D{token_hex(16)}"
        with self._lock:
            self.logins += 1
            self._tokens[token] = _Token(self._sources.token_calls or None)
        return {"access_token": token, "instance_url": self.url, "token_type": "Bearer"}

    def expire_tokens(self) -> None:
        """Let all tokens given so far expire now."""
        with self._lock:
            self._tokens.clear()

    def admit(self, authorization: str) -> Refused | None:
        """Count a call; return why it is not let in."""
        with self._lock:
            token = self._tokens.get(authorization.removeprefix("Bearer "))
            if token is None or token.calls == 0:
                return Refused("INVALID_SESSION_ID", "Session expired or invalid")
            if token.calls is not None:
                token.calls -= 1
            if self.api_used >= self.api_limit:
                return Refused("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
            self.api_used += 1
            return None

    def query(self, text: str, *, include_deleted: bool) -> dict[str, Any]:
        """Return the first page of a query's result."""
        self.before_query()
        with self._lock:
            self.queries.append(text)
            state = self._sources.state
            query = parse_query(text, OBJECT, self._name_fields(state), STAMP)
            records = self._select(query, state, include_deleted=include_deleted)
            locator = f"01g{next(self._numbers):012d}AAA"
            self._results[locator] = records
            for oldest in list(self._results)[:-_KEPT]:
                del self._results[oldest]
            return self._page(locator, 0)

    def query_more(self, place: str) -> dict[str, Any]:
        """Return a later page; Refused when the result is not kept any more."""
        self.before_query()
        locator, _, start = place.partition("-")
        with self._lock:
            if locator not in self._results or not start.isdecimal():
                raise Refused("INVALID_QUERY_LOCATOR", "invalid query locator")
            return self._page(locator, int(start))

    def forget_results(self) -> None:
        """Forget all results, as Salesforce does when there are too many."""
        with self._lock:
            self._results.clear()

    def describe(self) -> dict[str, Any]:
        """Return what the object is like."""
        names = self._name_fields(self._sources.state)
        fields = [{"name": name, "type": _TYPES.get(name, "string"), "nillable": name not in _TYPES} for name in names]
        return {"name": OBJECT, "queryable": True, "replicateable": True, "fields": fields}

    def _name_fields(self, state: CompanyState) -> list[str]:
        """Name the fields there are; the one that a fault of the last tick takes away is not."""
        faults = {fault.kind for fault in state.faults if (fault.dataset, fault.tick) == ("customers", state.tick)}
        names = [*_TYPES, *_FIELDS.values()]
        if FaultKind.MISSING_COLUMN in faults:
            names.remove(_FIELDS["country"])
        return names

    def _select(self, query: Query, state: CompanyState, *, include_deleted: bool) -> list[Record]:
        self._catch_up(state)
        shown = [each for each in self._records.values() if include_deleted or not each["IsDeleted"]]
        attributes = {"attributes": {"type": OBJECT}}
        return [attributes | record for record in query.select(shown)]

    def _page(self, locator: str, start: int) -> dict[str, Any]:
        records = self._results[locator]
        end = start + PAGE
        page: dict[str, Any] = {"totalSize": len(records), "done": end >= len(records), "records": records[start:end]}
        if not page["done"]:
            page["nextRecordsUrl"] = f"{_API}/query/{locator}-{end}"
        return page

    def _catch_up(self, state: CompanyState) -> None:
        """Bring the records to the end of the company's last tick."""
        company = Company.from_state(state)
        for tick in range(self._told + 1, state.tick + 1):
            rows = [(row, False) for row in company.rows("customers", tick)] + company.double_entries(tick)
            for row, is_deleted in sorted(rows, key=lambda each: each[0]["updated_at"]):
                self._keep(row, is_deleted=is_deleted)
        self._told = state.tick

    def _keep(self, row: Row, *, is_deleted: bool) -> None:
        number, changed = row["customer_id"], _whole_second(row["updated_at"])
        before = self._records.get(number, {"CreatedDate": changed})
        self._records[number] = {
            "Id": f"a00{int(number[1:]):012d}AAA",
            "IsDeleted": is_deleted,
            "CreatedDate": before["CreatedDate"],
            STAMP: changed,
            **{field: row.get(column) for column, field in _FIELDS.items()},
        }


class SalesforceHandler(Handler[SimulatedSalesforce]):
    """Answers the token endpoint, `query`, `queryAll`, later pages and `describe`; errors are lists."""

    def do_GET(self) -> None:
        if self.site.is_stopped:
            self.close_connection = True
            return
        outage = self.site.await_outage()
        refused = self.site.admit(self.headers.get("Authorization", ""))
        if outage is Outage.DOWN:
            refused = Refused("SERVER_UNAVAILABLE", "Salesforce is down for maintenance")
        try:
            if refused is not None:
                raise refused
            body = json.dumps(self._find()).encode()
        except Refused as error:
            status = _STATUSES.get(error.code, HTTPStatus.BAD_REQUEST)
            self.answer_json(status, [{"message": error.message, "errorCode": error.code}])
        else:
            self.answer_as(outage, 200, body)

    def do_POST(self) -> None:
        body = self.read_body()
        outage = None if self.site.is_stopped else self.site.await_outage()
        if urlsplit(self.path).path != "/services/oauth2/token":
            self.answer_json(404, [{"message": "The requested resource does not exist", "errorCode": "NOT_FOUND"}])
        elif outage is Outage.DOWN:
            self.answer_json(503, {"error": "server_unavailable", "error_description": "down for maintenance"})
        elif token := self.site.log_in(parse_qs((body or b"").decode(errors="replace"))):
            self.answer_as(outage, 200, json.dumps(token).encode())
        else:
            self.answer_json(400, {"error": "invalid_client", "error_description": "invalid client credentials"})

    def _find(self) -> dict[str, Any]:
        url = urlsplit(self.path)
        asked = parse_qs(url.query).get("q", [""])[0]
        match url.path.removeprefix(_API):
            case "/query/" | "/queryAll/" as place if asked:
                return self.site.query(asked, include_deleted=place == "/queryAll/")
            case place if place.startswith("/query/"):
                return self.site.query_more(place.removeprefix("/query/"))
            case place if place == f"/sobjects/{OBJECT}/describe":
                return self.site.describe()
            case _:
                raise Refused("NOT_FOUND", "The requested resource does not exist")

    def end_headers(self) -> None:
        """Add how many calls of the org's were used."""
        self.send_header("Sforce-Limit-Info", f"api-usage={self.site.api_used}/{self.site.api_limit}")
        super().end_headers()


_STATUSES = {
    "INVALID_SESSION_ID": HTTPStatus.UNAUTHORIZED,
    "REQUEST_LIMIT_EXCEEDED": HTTPStatus.FORBIDDEN,
    "NOT_FOUND": HTTPStatus.NOT_FOUND,
    "SERVER_UNAVAILABLE": HTTPStatus.SERVICE_UNAVAILABLE,
}


def _whole_second(stamp: str) -> str:
    """Return the stamp as Salesforce has it; up, so that nothing leaves the window (start, hi] it belongs to."""
    time = datetime.fromisoformat(stamp)
    if time.microsecond:
        time = time.replace(microsecond=0) + timedelta(seconds=1)
    return time.strftime("%Y-%m-%dT%H:%M:%S.000+0000")
