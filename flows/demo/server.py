"""The simulated sources: a company's orders and customers over HTTP, on loopback, with a clock and faults to order."""

from __future__ import annotations

import json
import os
import sys
import threading
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import formatdate
from enum import StrEnum
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Annotated, Any, cast
from urllib.parse import parse_qsl, urlencode, urlsplit
from zlib import crc32

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictInt,
    ValidationError,
    model_validator,
)

from flows.demo.company import DATASETS, KEYS, Company, CompanyState, stamp
from flows.domain.errors import UsageError

HOST = "127.0.0.1"
STALL_SECONDS = 120.0
MAX_LIMIT = 10_000
_START = datetime(2021, 1, 1, tzinfo=UTC)
DEFAULT = CompanyState(seed=2021, start=_START, now=_START, orders_per_tick=400, customers=800)


# pydantic alone would take a plain number for seconds since 1970
IsoTime = Annotated[AwareDatetime, BeforeValidator(datetime.fromisoformat)]


class Outage(StrEnum):
    """How a source misbehaves: 503, HTML with 200, a body cut in the middle, a stall, or not at all."""

    NONE = "none"
    DOWN = "down"
    HTML = "html"
    HALF_PAGE = "half_page"
    SLOW = "slow"


class PageQuery(BaseModel):
    """The parameters of a page. `cursor` is `<tick>-<position>`: stable, since rows of a past tick never change."""

    model_config = ConfigDict(extra="forbid")

    updated_after: IsoTime = datetime.min.replace(tzinfo=UTC)
    updated_until: IsoTime = datetime.max.replace(tzinfo=UTC)
    limit: int = Field(default=1000, ge=1, le=MAX_LIMIT)
    cursor: str = Field(default="", pattern=r"^(\d{1,9}-\d{1,9})?$")
    shard: int = Field(default=0, ge=0)
    shards: int = Field(default=1, ge=1, le=1024)

    @model_validator(mode="after")
    def _fits(self) -> PageQuery:
        if self.shard >= self.shards:
            raise ValueError("shard must be less than shards")
        if self.updated_after > self.updated_until:
            raise ValueError("updated_after must not be later than updated_until")
        return self


class FaultRequest(BaseModel):
    """A fault for the next tick of a dataset."""

    model_config = ConfigDict(extra="forbid")

    dataset: str
    kind: str


class Control(BaseModel):
    """What `POST /control` takes: one of advance_ticks, fault, outage (of one dataset, or of all without one)."""

    model_config = ConfigDict(extra="forbid")

    advance_ticks: StrictInt | None = Field(default=None, ge=1, le=100_000)
    fault: FaultRequest | None = None
    outage: str | None = None
    dataset: str | None = None

    @model_validator(mode="after")
    def _asks_one_thing(self) -> Control:
        if sum(each is not None for each in (self.advance_ticks, self.fault, self.outage)) != 1:
            raise ValueError("exactly one of advance_ticks, fault, outage is needed")
        if self.dataset is not None and self.outage is None:
            raise ValueError("dataset goes with outage")
        return self


@dataclass(frozen=True, slots=True)
class _Lines:
    """The serialised rows of one tick, their stamps to cut windows with and their hashed keys to cut shards with."""

    stamps: list[str]
    rows: list[bytes]
    keys: list[int]


class SimulatedSources:
    """A company served over HTTP. State is read from `state_file`, or begins as `initial`, and is kept at every change.

    A state file of a different company than the given `initial` is a UsageError: it would silently win otherwise.
    """

    def __init__(self, state_file: Path, *, initial: CompanyState | None = None, port: int = 0) -> None:
        self._file = state_file
        self._changed = threading.Condition()
        self._stopped = False
        self._company, self._outages = self._load(initial)
        self._lines = lru_cache(maxsize=24)(self._read_lines)
        self._shard_lines = lru_cache(maxsize=24)(self._read_shard_lines)
        self._server = _Server((HOST, port), _Handler)
        self._server.sources = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._save()

    @property
    def url(self) -> str:
        """Return the base URL."""
        return f"http://{HOST}:{self._server.server_port}"

    @property
    def now(self) -> datetime:
        """Return the simulated time."""
        return self._company.now

    @property
    def state(self) -> CompanyState:
        """Return the company's state, from which `Company.from_state` makes the rows served."""
        return self._company.state

    @property
    def is_stopped(self) -> bool:
        """Say whether `stop` was called."""
        return self._stopped

    def start(self) -> None:
        """Answer requests until `stop`."""
        self._thread.start()

    def stop(self) -> None:
        """Stop answering; stalled requests are let go."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def advance(self, ticks: int = 1) -> None:
        """Let `ticks` x 5 minutes happen."""
        with self._changed:
            self._company.advance(ticks)
            self._save()

    def add_fault(self, dataset: str, kind: str) -> None:
        """Spoil the next tick of a dataset."""
        with self._changed:
            self._company.add_fault(dataset, kind)
            self._save()

    def set_outage(self, dataset: str | None, kind: str) -> None:
        """Let a dataset (None: every one) misbehave until told otherwise; `none` ends it."""
        if dataset is not None and dataset not in DATASETS:
            raise UsageError(f"no dataset {dataset!r}; there are: {', '.join(DATASETS)}")
        if kind not in set(Outage):
            raise UsageError(f"no outage {kind!r}; there are: {', '.join(Outage)}")
        with self._changed:
            self._outages |= dict.fromkeys(DATASETS if dataset is None else (dataset,), Outage(kind))
            self._save()
            self._changed.notify_all()

    def apply(self, control: Control) -> None:
        """Do what a control asks for."""
        if control.advance_ticks is not None:
            self.advance(control.advance_ticks)
        elif control.fault is not None:
            self.add_fault(control.fault.dataset, control.fault.kind)
        elif control.outage is not None:
            self.set_outage(control.dataset, control.outage)

    def to_json(self) -> dict[str, Any]:
        """Return the whole state as plain JSON values, as it is kept in the file."""
        with self._changed:
            return {"company": self._company.state.to_json(), "outages": {k: str(v) for k, v in self._outages.items()}}

    def await_outage(self, dataset: str) -> Outage | None:
        """Return how a dataset misbehaves, after having stalled if it is slow; None once stopped."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or self._outages[dataset] is not Outage.SLOW, STALL_SECONDS)
            return None if self._stopped else self._outages[dataset]

    def read_page(self, dataset: str, query: PageQuery) -> bytes:
        """Return one page as JSON. `next` names a fixed end, so that time passing between pages changes nothing."""
        with self._changed:
            until = min(query.updated_until, self.now)
            ticks = self.state.ticks_between(query.updated_after, until)
            tick, position = (int(part) for part in (query.cursor or "0-0").split("-"))
            rows: list[bytes] = []
            cursor = None
            for each in range(max(tick, ticks.start), ticks.stop):
                lines = self._shard_lines(dataset, each, query.shard, query.shards)
                first = max(bisect_right(lines.stamps, stamp(query.updated_after)), position if each == tick else 0)
                last = bisect_right(lines.stamps, stamp(until))
                end = max(first, min(last, first + query.limit - len(rows)))
                rows += lines.rows[first:end]
                if end < last:
                    cursor = f"{each}-{end}"
                    break
        link = None
        if cursor:
            fixed = {"updated_after": stamp(query.updated_after), "updated_until": stamp(until), "cursor": cursor}
            link = f"/{dataset}?{urlencode(fixed | query.model_dump(include={'limit', 'shard', 'shards'}))}"
        return b'{"data": [' + b",\n".join(rows) + b'], "next": ' + json.dumps(link).encode() + b"}"

    def _read_lines(self, dataset: str, tick: int) -> _Lines:
        rows = self._company.rows(dataset, tick)
        keys = [crc32(str(row[KEYS[dataset]]).encode()) for row in rows]
        return _Lines([row["updated_at"] for row in rows], [json.dumps(row).encode() for row in rows], keys)

    def _read_shard_lines(self, dataset: str, tick: int, shard: int, shards: int) -> _Lines:
        lines = self._lines(dataset, tick)
        if shards == 1:
            return lines
        mine = [i for i, key in enumerate(lines.keys) if key % shards == shard]
        return _Lines([lines.stamps[i] for i in mine], [lines.rows[i] for i in mine], [lines.keys[i] for i in mine])

    def _load(self, initial: CompanyState | None) -> tuple[Company, dict[str, Outage]]:
        if not self._file.exists():
            return Company.from_state(initial or DEFAULT), dict.fromkeys(DATASETS, Outage.NONE)
        try:
            kept = json.loads(self._file.read_bytes())
            state = CompanyState.from_json(kept["company"])
            outages = {dataset: Outage(kept["outages"][dataset]) for dataset in DATASETS}
        except (ValueError, KeyError, TypeError, UsageError) as error:
            message = f"{self._file} is not a state of simulated sources: {error}"
            raise UsageError(message, hint="delete it to begin anew") from error
        if initial is not None and replace(initial, now=state.now, faults=state.faults) != state:
            raise UsageError(f"{self._file} is the state of another company", hint="delete it to begin anew")
        return Company.from_state(state), outages

    def _save(self) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        draft = self._file.with_name(f".{self._file.name}.draft")
        with draft.open("w") as out:
            json.dump(self.to_json(), out, indent=1)
            out.flush()
            os.fsync(out.fileno())
        draft.replace(self._file)


@contextmanager
def simulated_sources(
    state_file: Path, *, initial: CompanyState | None = None, port: int = 0
) -> Iterator[SimulatedSources]:
    """Serve simulated sources for the time of a `with` block."""
    sources = SimulatedSources(state_file, initial=initial, port=port)
    sources.start()
    try:
        yield sources
    finally:
        sources.stop()


class _Server(ThreadingHTTPServer):
    request_queue_size = 64
    sources: SimulatedSources

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep quiet about clients that went away, above all those that a stall made give up."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body are two writes: together with delayed ACKs 40 ms a page

    @property
    def sources(self) -> SimulatedSources:
        return cast(_Server, self.server).sources

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        dataset = url.path.removeprefix("/")
        if self.sources.is_stopped:
            self.close_connection = True  # a kept-alive connection would outlive the server
        elif url.path == "/clock":
            self._answer_json(200, {"now": stamp(self.sources.now)})
        elif dataset in DATASETS:
            self._answer_page(dataset, url.query)
        else:
            self._answer_json(404, {"error": f"no {url.path} here"})

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        body = self.rfile.read(int(length)) if length.isdecimal() and int(length) <= 65_536 else None
        if body is None:
            self.close_connection = True  # the unread body would be taken for the next request
        if self.sources.is_stopped:
            self.close_connection = True
            return
        if self.path != "/control":
            self._answer_json(404, {"error": f"no {self.path} here"})
            return
        try:
            self.sources.apply(Control.model_validate_json(body or b""))
        except (ValidationError, UsageError) as error:
            self._answer_json(400, {"error": _explain(error)})
        else:
            self._answer_json(200, self.sources.to_json())

    def _answer_page(self, dataset: str, query: str) -> None:
        try:
            pairs = parse_qsl(query, keep_blank_values=True)
            if len({name for name, _ in pairs}) < len(pairs):
                raise UsageError("a parameter is given twice")
            page = PageQuery.model_validate(dict(pairs))
        except (ValidationError, UsageError) as error:
            self._answer_json(400, {"error": _explain(error)})
            return
        match self.sources.await_outage(dataset):
            case None:
                self.close_connection = True
            case Outage.DOWN:
                self._answer_json(503, {"error": f"{dataset} is down for maintenance"})
            case Outage.HTML:
                self._answer(200, "text/html; charset=utf-8", b"<!doctype html>\n<title>Please log in</title>\n")
            case Outage.HALF_PAGE:
                body = self.sources.read_page(dataset, page)
                self._answer(200, "application/json", body[: len(body) // 2], length=len(body))
                self.close_connection = True
            case Outage.NONE | Outage.SLOW:
                self._answer(200, "application/json", self.sources.read_page(dataset, page))

    def _answer_json(self, status: int, value: dict[str, Any]) -> None:
        self._answer(status, "application/json", json.dumps(value).encode())

    def _answer(self, status: int, content_type: str, body: bytes, *, length: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def date_time_string(self, timestamp: float | None = None) -> str:
        """Write the simulated time into the `Date` header."""
        return formatdate(self.sources.now.timestamp() if timestamp is None else timestamp, usegmt=True)

    def log_message(self, *_: Any) -> None:
        """Log nothing: the caller sees every answer."""


def _explain(error: ValidationError | UsageError) -> str:
    if isinstance(error, UsageError):
        return error.message
    first = error.errors()[0]
    return ": ".join(filter(None, (".".join(map(str, first["loc"])), first["msg"].removeprefix("Value error, "))))
