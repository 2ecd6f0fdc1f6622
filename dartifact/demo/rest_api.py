"""The REST API of the simulated sources: pages of change records, a clock, and controls."""

from __future__ import annotations

import json
from bisect import bisect_right
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated
from urllib.parse import parse_qsl, urlencode, urlsplit
from zlib import crc32

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from dartifact.demo.company import Company, CompanyState
from dartifact.demo.company_site import CompanySite
from dartifact.demo.controls import Control, Outage
from dartifact.demo.records import DATASETS, KEYS, stamp
from dartifact.demo.web import Handler
from dartifact.domain.errors import UsageError

MAX_LIMIT = 10_000

# pydantic alone would take a plain number for seconds since 1970
IsoTime = Annotated[AwareDatetime, BeforeValidator(datetime.fromisoformat)]


class PageQuery(BaseModel):
    """The parameters of a page.

    `cursor` is `<tick>-<position>-<last tick when the first page was read>`: stable, since what was known of a tick
    then does not change.
    """

    model_config = ConfigDict(extra="forbid")

    updated_after: IsoTime = datetime.min.replace(tzinfo=UTC)
    updated_until: IsoTime = datetime.max.replace(tzinfo=UTC)
    limit: int = Field(default=1000, ge=1, le=MAX_LIMIT)
    cursor: str = Field(default="", pattern=r"^(\d{1,9}-\d{1,9}-\d{1,9})?$")
    shard: int = Field(default=0, ge=0)
    shards: int = Field(default=1, ge=1, le=1024)

    @model_validator(mode="after")
    def _fits(self) -> PageQuery:
        if self.shard >= self.shards:
            raise ValueError("shard must be less than shards")
        if self.updated_after > self.updated_until:
            raise ValueError("updated_after must not be later than updated_until")
        return self


@dataclass(frozen=True, slots=True)
class _Lines:
    """The serialised rows of one tick, their stamps to cut windows with and their hashed keys to cut shards with."""

    stamps: list[str]
    rows: list[bytes]
    keys: list[int]


def read_page(state: CompanyState, dataset: str, query: PageQuery) -> bytes:
    """Return one page as JSON. `next` names a fixed end, so that time passing between pages changes nothing."""
    tick, position, seen_at = (int(part) for part in (query.cursor or f"0-0-{state.tick}").split("-"))
    state = state.as_of(min(seen_at, state.tick))
    until = min(query.updated_until, state.now)
    ticks = state.ticks_between(query.updated_after, until)
    rows: list[bytes] = []
    cursor = None
    for each in range(max(tick, ticks.start), ticks.stop):
        lines = _read_shard_lines(_narrow(state, dataset, each), dataset, each, query.shard, query.shards)
        first = max(bisect_right(lines.stamps, stamp(query.updated_after)), position if each == tick else 0)
        last = bisect_right(lines.stamps, stamp(until))
        end = max(first, min(last, first + query.limit - len(rows)))
        rows += lines.rows[first:end]
        if end < last:
            cursor = f"{each}-{end}-{state.tick}"
            break
    link = None
    if cursor:
        fixed = {"updated_after": stamp(query.updated_after), "updated_until": stamp(until), "cursor": cursor}
        link = f"/{dataset}?{urlencode(fixed | query.model_dump(include={'limit', 'shard', 'shards'}))}"
    return b'{"data": [' + b",\n".join(rows) + b'], "next": ' + json.dumps(link).encode() + b"}"


def _narrow(state: CompanyState, dataset: str, tick: int) -> CompanyState:
    """Return what of a state the rows of a tick depend on: the same later, so that they are made once."""
    faults = tuple(fault for fault in state.faults if (fault.dataset, fault.tick) == (dataset, tick))
    return replace(state.as_of(min(tick + 1, state.tick)), faults=faults)


@lru_cache(maxsize=8)
def _read_lines(state: CompanyState, dataset: str, tick: int) -> _Lines:
    rows = Company.from_state(state).rows(dataset, tick)
    keys = [crc32(str(row[KEYS[dataset]]).encode()) for row in rows]
    return _Lines([row["updated_at"] for row in rows], [json.dumps(row).encode() for row in rows], keys)


@lru_cache(maxsize=16)
def _read_shard_lines(state: CompanyState, dataset: str, tick: int, shard: int, shards: int) -> _Lines:
    lines = _read_lines(state, dataset, tick)
    if shards == 1:
        return lines
    mine = [i for i, key in enumerate(lines.keys) if key % shards == shard]
    return _Lines([lines.stamps[i] for i in mine], [lines.rows[i] for i in mine], [lines.keys[i] for i in mine])


class RestHandler(Handler[CompanySite]):
    """Answers `/orders`, `/customers`, `/clock` and `POST /control`."""

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        dataset = url.path.removeprefix("/")
        if self.site.is_stopped:
            self.close_connection = True  # a kept-alive connection would outlive the server
        elif url.path == "/clock":
            self.answer_json(200, {"now": stamp(datetime.fromtimestamp(self.site.told_time(), UTC))})
        elif dataset in DATASETS:
            self._answer_page(dataset, url.query)
        else:
            self.answer_json(404, {"error": f"no {url.path} here"})

    def do_POST(self) -> None:
        body = self.read_body()
        if self.site.is_stopped:
            self.close_connection = True
            return
        if self.path != "/control":
            self.answer_json(404, {"error": f"no {self.path} here"})
            return
        try:
            self.site.apply(Control.model_validate_json(body or b""))
        except (ValidationError, UsageError) as error:
            self.answer_json(400, {"error": _explain(error)})
        else:
            self.answer_json(200, self.site.to_json())

    def _answer_page(self, dataset: str, query: str) -> None:
        try:
            pairs = parse_qsl(query, keep_blank_values=True)
            if len({name for name, _ in pairs}) < len(pairs):
                raise UsageError("a parameter is given twice")
            page = PageQuery.model_validate(dict(pairs))
        except (ValidationError, UsageError) as error:
            self.answer_json(400, {"error": _explain(error)})
            return
        outage = self.site.await_outage(dataset)
        if outage is Outage.DOWN:
            self.answer_json(503, {"error": f"{dataset} is down for maintenance"})
        else:
            self.answer_as(outage, 200, b"" if outage is None else read_page(self.site.state, dataset, page))


def _explain(error: ValidationError | UsageError) -> str:
    if isinstance(error, UsageError):
        return error.message
    first = error.errors()[0]
    return ": ".join(filter(None, (".".join(map(str, first["loc"])), first["msg"].removeprefix("Value error, "))))
