"""The REST adapter against real HTTP servers: the simulated sources, and one that answers what a test tells it to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from dartifact.adapters.sources import rest_calls
from dartifact.adapters.sources.rest import RestSource
from dartifact.adapters.sources.rest_paging import CursorPaging, LinkPaging, OffsetPaging
from dartifact.demo.company import Company, CompanyState
from dartifact.demo.faults import Fault
from dartifact.demo.records import TICK
from dartifact.demo.server import SimulatedSources, simulated_sources
from dartifact.domain.errors import SourceMalformed, SourceUnavailable, UsageError

START = datetime(2021, 1, 1, tzinfo=UTC)
SMALL = CompanyState(seed=7, start=START, now=START, orders_per_tick=60, customers=120)


@pytest.fixture
def sources(tmp_path: Path) -> Iterator[SimulatedSources]:
    with simulated_sources(tmp_path / "state.json", initial=SMALL) as running:
        yield running


def open_source(
    sources: SimulatedSources, dataset: str = "orders", *, page_size: int = 2000, timeout: float = 30
) -> RestSource:
    return RestSource(sources.url, dataset, timeout=timeout, page_size=page_size, attempts=2, pause=0.01)


def fetch(
    source: RestSource, lo: datetime = START, hi: datetime = START + 9 * TICK, **shard: int
) -> list[dict[str, Any]]:
    return [row for page in source.fetch(lo, hi, **shard) for row in page]


def expected(sources: SimulatedSources, dataset: str, lo: datetime, hi: datetime) -> list[dict[str, Any]]:
    return Company.from_state(sources.state).changes(dataset, lo, hi)


# The simulated sources


@pytest.mark.parametrize("dataset", ["orders", "customers"])
def test_pages_together_are_the_changes_of_the_company(sources: SimulatedSources, dataset: str) -> None:
    sources.advance(4)
    source = open_source(sources, dataset, page_size=17)
    for lo, hi in ((START, sources.now), (START + TICK / 3, START + 2.5 * TICK), (START + TICK, START + 2 * TICK)):
        pages = list(source.fetch(lo, hi))
        rows = expected(sources, dataset, lo, hi)
        assert [row for page in pages for row in page] == rows
        assert [len(page) for page in pages[:-1]] == [17] * (len(pages) - 1)
        assert 0 < len(pages[-1]) <= 17
        assert len(rows) > 7


def test_rows_with_equal_key_and_stamp_are_not_lost_between_pages(sources: SimulatedSources) -> None:
    sources.add_fault("orders", "duplicate_orders")
    sources.advance()
    rows = fetch(open_source(sources, page_size=1))
    assert len(rows) == 66
    assert rows == expected(sources, "orders", START, sources.now)


def test_a_window_without_changes_is_one_empty_page(sources: SimulatedSources) -> None:
    assert list(open_source(sources).fetch(START, START + TICK)) == [[]]
    sources.advance()
    assert list(open_source(sources).fetch(sources.now, sources.now + TICK)) == [[]]
    assert list(open_source(sources).fetch(sources.now, sources.now)) == [[]]


def test_time_passing_between_pages_changes_nothing(sources: SimulatedSources) -> None:
    sources.advance()
    then = sources.now
    pages = open_source(sources, page_size=25).fetch(START, START + 3 * TICK)
    rows = next(pages)
    sources.add_fault("orders", "negative_amounts")
    sources.advance(2)
    rows += [row for page in pages for row in page]
    assert rows == expected(sources, "orders", START, then)


@pytest.mark.parametrize("dataset", ["orders", "customers"])
@pytest.mark.parametrize("shards", [1, 2, 3])
def test_shards_are_disjoint_complete_and_stable(sources: SimulatedSources, dataset: str, shards: int) -> None:
    sources.advance(5)
    key = "order_id" if dataset == "orders" else "customer_id"
    source = open_source(sources, dataset, page_size=23)
    parts = [fetch(source, shard=shard, shards=shards) for shard in range(shards)]
    keys = [{row[key] for row in part} for part in parts]
    assert sum(len(part) for part in parts) == len(expected(sources, dataset, START, sources.now))
    assert len(set.union(*keys)) == sum(map(len, keys)), "a key moves from shard to shard"
    assert min(map(len, keys)) > 0.6 * max(map(len, keys))
    for part in parts:
        stamps = [row["updated_at"] for row in part]
        assert stamps == sorted(stamps)


def test_the_clock_is_the_simulated_one(sources: SimulatedSources) -> None:
    source = open_source(sources)
    assert source.read_clock() == START
    sources.advance(2)
    assert source.read_clock() == START + 2 * TICK == sources.now
    assert httpx.get(f"{sources.url}/orders").headers["date"] == "Fri, 01 Jan 2021 00:10:00 GMT"


@pytest.mark.parametrize(
    ("outage", "error", "message"),
    [
        ("down", SourceUnavailable, "is not available: got 503 application/json: orders is down for maintenance"),
        ("html", SourceMalformed, "did not return JSON: got 200 text/html; charset=utf-8: <!doctype html>"),
        (
            "half_page",
            SourceMalformed,
            'broke off in the middle of the response: got 200 application/json: {"data": [{"order_id": 1,',
        ),
        ("slow", SourceUnavailable, "sent nothing for 0.4 s"),
    ],
)
def test_each_outage_gives_its_error_and_is_over_when_it_is_over(
    sources: SimulatedSources, outage: str, error: type[Exception], message: str
) -> None:
    sources.advance()
    source = open_source(sources, timeout=0.4 if outage == "slow" else 30)
    sources.set_outage("orders", outage)
    with pytest.raises(error) as caught:
        fetch(source)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{sources.url}/orders?updated_after=2021-01-01T00")
    assert "\n" not in str(caught.value)
    assert len(fetch(open_source(sources, "customers"))) == 120, "the outage of one dataset hit the other"
    sources.set_outage("orders", "none")
    assert len(fetch(open_source(sources))) == 60


def test_an_outage_between_pages_stops_the_window(sources: SimulatedSources) -> None:
    sources.advance()
    pages = open_source(sources, page_size=25).fetch(START, sources.now)
    assert len(next(pages)) == 25
    sources.set_outage("orders", "down")
    with pytest.raises(SourceUnavailable):
        next(pages)


def test_a_stalled_request_is_answered_when_the_stall_ends(sources: SimulatedSources) -> None:
    sources.advance()
    sources.set_outage(None, "slow")
    timer = threading.Timer(0.2, sources.set_outage, (None, "none"))
    timer.start()
    began = time.monotonic()
    assert len(fetch(RestSource(sources.url, "orders", timeout=10))) == 60
    assert time.monotonic() - began >= 0.15


def test_a_stopped_source_is_unavailable_and_names_its_url(sources: SimulatedSources) -> None:
    source = open_source(sources)
    sources.stop()
    with pytest.raises(SourceUnavailable, match=rf"{sources.url}/clock cannot be reached: .*refused"):
        source.read_clock()


def test_stopping_ends_stalled_and_kept_alive_requests(sources: SimulatedSources) -> None:
    sources.advance()
    pages = open_source(sources, page_size=25).fetch(START, sources.now)
    next(pages)
    sources.stop()
    with pytest.raises(SourceUnavailable):
        next(pages)


def test_state_survives_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "state.json"
    with simulated_sources(file, initial=SMALL) as sources:
        sources.advance(2)
        sources.add_fault("orders", "text_amounts")
        sources.set_outage("customers", "html")
        before = sources.state
    with simulated_sources(file) as sources:
        assert sources.state == before
        assert sources.state.faults == (Fault("orders", 3, "text_amounts"),)
        with pytest.raises(SourceMalformed):
            fetch(open_source(sources, "customers"))
        sources.advance()
        rows = fetch(open_source(sources), START + 2 * TICK)
        assert [row["amount"] for row in rows].count("n/a") == 6
    assert [path.name for path in file.parent.iterdir()] == ["state.json"]


def test_a_crash_while_saving_leaves_the_old_state(
    sources: SimulatedSources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources.advance()
    kept = (tmp_path / "state.json").read_bytes()

    def crash(_: int) -> None:
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", crash)
        with pytest.raises(OSError, match="no space left"):
            sources.advance()
    assert (tmp_path / "state.json").read_bytes() == kept


def test_a_damaged_state_or_one_of_another_company_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    with simulated_sources(file, initial=SMALL) as sources:
        sources.advance()
    other = CompanyState(seed=8, start=START, now=START, orders_per_tick=60, customers=120)
    with pytest.raises(UsageError, match="is the state of another company"):
        SimulatedSources(file, initial=other)
    for damage in ('{"company"', "[]", '{"company": {}, "outages": {}}'):
        file.write_text(damage)
        with pytest.raises(UsageError, match="is not a state of simulated sources"):
            SimulatedSources(file)


def test_controls_over_http_do_what_the_methods_do(sources: SimulatedSources) -> None:
    def control(**body: Any) -> dict[str, Any]:
        answer = httpx.post(f"{sources.url}/control", json=body)
        assert answer.status_code == 200, answer.text
        value: dict[str, Any] = answer.json()
        return value

    control(fault={"dataset": "orders", "kind": "negative_amounts"})
    assert control(advance_ticks=2)["company"]["now"] == "2021-01-01T00:10:00.000000Z"
    assert sources.now == START + 2 * TICK
    assert sources.state.faults == (Fault("orders", 1, "negative_amounts"),)
    assert control(outage="down", dataset="orders")["outages"] == {"orders": "down", "customers": "none"}
    assert control(outage="html")["outages"] == {"orders": "html", "customers": "html"}
    assert control(outage="none")["outages"] == {"orders": "none", "customers": "none"}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "exactly one of advance_ticks, fault, outage, clock_skew, token_calls is needed"),
        ({"advance_ticks": 1, "outage": "none"}, "exactly one of"),
        ({"advance_ticks": 0}, "advance_ticks: "),
        ({"advance_ticks": "1"}, "advance_ticks: "),
        ({"advance_ticks": 1, "dataset": "orders"}, "dataset goes with outage"),
        ({"fault": {"dataset": "orders", "kind": "gremlins"}}, "no fault 'gremlins' for orders; there are: "),
        ({"outage": "flood"}, "no outage 'flood'; there are: none, down, html, half_page, slow"),
        ({"outage": "down", "dataset": "clock"}, "no dataset 'clock'; there are: orders, customers"),
        ({"advance": 1}, "advance: Extra inputs"),
    ],
)
def test_a_wrong_control_is_refused_and_changes_nothing(sources: SimulatedSources, body: Any, message: str) -> None:
    before = sources.to_json()
    answer = httpx.post(f"{sources.url}/control", json=body)
    assert answer.status_code == 400
    assert message in answer.json()["error"]
    assert sources.to_json() == before


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=10001",
        "limit=ten",
        "limit=1&limit=2",
        "cursor=1",
        "shard=2&shards=2",
        "shard=1",
        "shards=0",
        "updated_after=yesterday",
        "updated_after=9",
        "updated_after=2021-01-01T00:00:00",
        "updated_after=2021-01-02T00:00:00Z&updated_until=2021-01-01T00:00:00Z",
        "since=2021-01-02T00:00:00Z",
    ],
)
def test_wrong_parameters_are_refused(sources: SimulatedSources, query: str) -> None:
    answer = httpx.get(f"{sources.url}/orders?{query}")
    assert (answer.status_code, list(answer.json())) == (400, ["error"])


def test_what_is_not_there_is_a_404(sources: SimulatedSources) -> None:
    assert httpx.get(f"{sources.url}/invoices").status_code == 404
    assert httpx.get(f"{sources.url}/").json() == {"error": "no / here"}
    assert httpx.post(f"{sources.url}/orders", json={}).status_code == 404


def test_ten_thousand_orders_are_served_and_read_in_less_than_a_second_of_computing(tmp_path: Path) -> None:
    big = CompanyState(seed=7, start=START, now=START, orders_per_tick=10_000, customers=500)
    with simulated_sources(tmp_path / "state.json", initial=big) as sources:
        sources.advance()
        began = time.process_time()
        pages = [len(page) for page in RestSource(sources.url, "orders").fetch(START, sources.now)]
        took = time.process_time() - began
    assert pages == [2000] * 5
    assert took < 1


# One state file, several processes

_SERVE = """
import sys
from pathlib import Path
from dartifact.demo.server import simulated_sources
for _ in range(15):
    with simulated_sources(Path(sys.argv[1])) as sources:
        sources.advance()
        sources.add_fault("orders", sys.argv[2])
"""


def test_processes_that_advance_one_company_at_the_same_time_lose_no_step_and_no_fault(tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    with simulated_sources(file, initial=SMALL) as sources:
        kinds = ("negative_amounts", "text_amounts", "null_customers")
        children = [subprocess.Popen([sys.executable, "-c", _SERVE, str(file), kind]) for kind in kinds]
        assert [child.wait(60) for child in children] == [0, 0, 0]
        assert sources.now == START + 45 * TICK
        assert {kind: sum(fault.kind == kind for fault in sources.state.faults) for kind in kinds} == dict.fromkeys(
            kinds, 15
        )


def test_two_servers_of_one_state_file_show_and_change_the_same_company(tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    with simulated_sources(file, initial=SMALL) as dan, simulated_sources(file) as dave:
        dan.advance()
        dave.advance()
        dave.set_outage("customers", "down")
        assert dan.now == dave.now == START + 2 * TICK
        halves = [fetch(open_source(each), shard=i, shards=2) for i, each in enumerate((dan, dave))]
        whole = expected(dan, "orders", START, dan.now)
        assert sorted((row["updated_at"], row["order_id"]) for half in halves for row in half) == [
            (row["updated_at"], row["order_id"]) for row in whole
        ]
        with pytest.raises(SourceUnavailable):
            fetch(open_source(dan, "customers"))


def test_a_stall_ended_by_another_process_is_over(tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    with simulated_sources(file, initial=SMALL) as sources, simulated_sources(file) as other:
        sources.advance()
        sources.set_outage("orders", "slow")
        timer = threading.Timer(0.2, other.set_outage, (None, "none"))
        timer.start()
        assert len(fetch(RestSource(sources.url, "orders", timeout=30))) == 60
        timer.join()


# Late rows and skewed clocks


def test_late_rows_come_with_the_overlap_and_pages_begun_before_do_not_move(sources: SimulatedSources) -> None:
    sources.add_fault("orders", "late_rows")
    sources.advance()
    then = sources.now
    pages = open_source(sources, page_size=25).fetch(START, then)
    rows = next(pages)
    sources.advance()
    rows += [row for page in pages for row in page]
    assert len(rows) == 54
    again = fetch(open_source(sources), then - timedelta(seconds=30), sources.now)
    late = {row["order_id"] for row in again if row["updated_at"] <= then.isoformat()}
    assert len(late - {row["order_id"] for row in rows}) == 6
    assert {row["order_id"] for row in rows} | late == set(range(1, 61))


def test_a_skewed_clock_is_told_everywhere_and_changes_no_record(sources: SimulatedSources) -> None:
    sources.advance()
    before = fetch(open_source(sources))
    assert httpx.post(f"{sources.url}/control", json={"clock_skew": 90}).json()["clock_skew"] == 90
    assert open_source(sources).read_clock() == START + TICK + timedelta(seconds=90)
    assert httpx.get(f"{sources.url}/orders").headers["date"] == "Fri, 01 Jan 2021 00:06:30 GMT"
    assert fetch(open_source(sources)) == before
    assert sources.now == START + TICK


# A source that answers what a test tells it to

Answer = tuple[int, dict[str, str], bytes]


@dataclass
class Scripted:
    """A real server that hands out prepared answers, the last one again and again, and remembers what was asked."""

    answers: list[Answer] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    authorizations: list[str | None] = field(default_factory=list)
    url: str = ""

    def say(self, value: Any, status: int = 200, **headers: str) -> None:
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        self.answers.append((status, {"Content-Type": "application/json", **named}, body))

    def source(self, **options: Any) -> RestSource:
        return RestSource(self.url, "/rows", **{"timeout": 30, "pause": 0.01, **options})


@pytest.fixture
def start_script() -> Iterator[Callable[[], Scripted]]:
    servers: list[ThreadingHTTPServer] = []

    def start() -> Scripted:
        script = Scripted()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                script.asked.append(self.path)
                script.authorizations.append(self.headers.get("Authorization"))
                status, headers, body = script.answers.pop(0) if len(script.answers) > 1 else script.answers[0]
                self.send_response_only(status)
                for name, text in headers.items():
                    self.send_header(name, text)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None: ...

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        servers.append(server)
        script.url = f"http://127.0.0.1:{server.server_port}"
        return script

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def script(start_script: Callable[[], Scripted]) -> Scripted:
    return start_script()


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return how long the adapter has waited between attempts, which takes no time."""
    waited: list[float] = []
    monkeypatch.setattr(rest_calls.time, "sleep", waited.append)
    return waited


def test_numbers_with_a_point_stay_exact(script: Scripted) -> None:
    script.say(b'{"data": [{"amount": 0.10, "count": 3}], "next": null}')
    (row,) = fetch(script.source())
    assert (str(row["amount"]), type(row["amount"]), row["count"]) == ("0.10", Decimal, 3)


@pytest.mark.parametrize("link", ["/rows?cursor=2", "rows?cursor=2", "{url}/rows?cursor=2", "?cursor=2"])
def test_links_may_be_relative_or_absolute(script: Scripted, link: str) -> None:
    script.say({"data": [{"id": 1}], "next": link.format(url=script.url)})
    script.say({"data": [{"id": 2}], "next": None})
    assert fetch(script.source()) == [{"id": 1}, {"id": 2}]
    assert script.asked[1] == "/rows?cursor=2"


def test_keys_are_read_in_the_same_pages_from_their_own_path(script: Scripted) -> None:
    script.say({"data": [{"id": 1}], "next": "/keys?cursor=2"})
    script.say({"data": [{"id": 2}], "next": None})
    pages = script.source(keys_path="/keys", page_size=1).list_keys()
    assert list(pages) == [[{"id": 1}], [{"id": 2}]]
    assert script.asked == ["/keys?limit=1", "/keys?cursor=2"]


def test_keys_without_a_path_are_refused(script: Scripted) -> None:
    with pytest.raises(UsageError, match="no keys_path"):
        list(script.source().list_keys())


def test_a_next_page_that_was_read_before_is_a_loop(script: Scripted) -> None:
    for cursor in ("a", "b", "a"):
        script.say({"data": [], "next": f"/rows?cursor={cursor}"})
    with pytest.raises(SourceMalformed, match="is in a pagination loop: its next page was already read"):
        fetch(script.source())
    assert len(script.asked) == 3


def test_a_next_page_on_another_host_is_never_asked_for(start_script: Callable[[], Scripted]) -> None:
    script, foreign = start_script(), start_script()
    foreign.say({"data": [], "next": None})
    for link in (f"{foreign.url}/rows?key=s3cret", f"//{foreign.url.removeprefix('http://')}/rows?key=s3cret"):
        script.answers.clear()
        script.say({"data": [{"id": 1}], "next": link})
        with pytest.raises(SourceMalformed) as caught:
            fetch(script.source())
        assert f"sends us to another host for the next page: {foreign.url}/rows" in str(caught.value)
        assert "s3cret" not in str(caught.value)
    assert foreign.asked == []


def test_a_next_page_over_another_scheme_leaves_the_host(script: Scripted) -> None:
    script.say({"data": [], "next": script.url.replace("http://", "https://") + "/rows?cursor=2"})
    with pytest.raises(SourceMalformed, match="sends us to another host"):
        fetch(script.source())


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"data": [{"amount": NaN}], "next": null}',
        [],
        {"data": []},
        {"next": None},
        {"data": {}, "next": None},
        {"data": [1], "next": None},
        {"data": [], "next": 2},
        {"data": [], "next": "http://host:port/"},
    ],
)
def test_what_is_not_a_page_is_malformed_and_not_asked_for_again(script: Scripted, value: Any) -> None:
    script.say(value)
    with pytest.raises(
        SourceMalformed, match=r"^http://127\.0\.0\.1:\d+/rows\?updated_after=\S+ .*got 200 application/json: "
    ):
        fetch(script.source())
    assert len(script.asked) == 1


@pytest.mark.parametrize(
    ("status", "error", "message"),
    [
        (302, SourceMalformed, "did not return 200: got 302"),
        (400, SourceMalformed, "refused the request: got 400 application/json: the window is too large"),
        (401, SourceMalformed, "denied access: got 401"),
        (403, SourceMalformed, "denied access: got 403"),
        (404, SourceMalformed, "refused the request: got 404"),
        (500, SourceUnavailable, "is not available: got 500"),
        (502, SourceUnavailable, "is not available: got 502"),
    ],
)
def test_a_refusal_gives_its_error_with_the_words_of_the_source(
    script: Scripted, status: int, error: type[Exception], message: str
) -> None:
    script.say({"error": "the window\nis too large"}, status, Location="/elsewhere")
    with pytest.raises(error) as caught:
        fetch(script.source())
    assert message in str(caught.value)
    assert str(caught.value).endswith(": the window is too large")
    assert len(script.asked) == 1


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_source_is_asked_again_and_then_answers(script: Scripted, status: int) -> None:
    script.say({}, status)
    script.say({}, status, Retry_After="0")
    script.say({"data": [{"id": 1}], "next": None})
    assert fetch(script.source()) == [{"id": 1}]
    assert len(script.asked) == 3


@pytest.mark.parametrize("status", [429, 503])
def test_a_source_that_stays_busy_is_unavailable_after_the_last_attempt(script: Scripted, status: int) -> None:
    script.say({}, status)
    with pytest.raises(SourceUnavailable, match=f"got {status}"):
        fetch(script.source(attempts=4))
    assert len(script.asked) == 4


@pytest.mark.parametrize(
    "headers",
    [{"Retry_After": "1"}, {"Retry_After": "Fri, 01 Jan 2021 00:00:01 GMT", "Date": "Fri, 01 Jan 2021 00:00:00 GMT"}],
)
def test_retry_after_is_honoured_in_seconds_and_as_a_date_of_the_sources_own_clock(
    script: Scripted, headers: dict[str, str], waits: list[float]
) -> None:
    script.say({}, 503, **headers)
    script.say({"data": [], "next": None})
    assert fetch(script.source()) == []
    assert waits == [1.0]


@pytest.mark.parametrize("after", ["3600", "9" * 400])
def test_a_source_that_wants_too_long_a_wait_is_unavailable_at_once(
    script: Scripted, after: str, waits: list[float]
) -> None:
    script.say({}, 503, Retry_After=after)
    with pytest.raises(SourceUnavailable, match=r"it asks to wait (3600|inf) s"):
        fetch(script.source())
    assert waits == []
    assert len(script.asked) == 1


def test_without_a_clock_the_date_of_the_data_counts(script: Scripted) -> None:
    script.say({"error": "no clock"}, 404)
    script.say({"data": [], "next": None}, Date="Fri, 01 Jan 2021 00:05:00 GMT")
    assert script.source().read_clock() == START + TICK
    assert script.asked == ["/clock", "/rows?limit=1"]


def test_without_any_clock_the_source_is_malformed(script: Scripted) -> None:
    script.say({}, 404)
    script.say({"data": [], "next": None})
    with pytest.raises(SourceMalformed, match="sent no usable clock in the response: no valid Date header"):
        script.source().read_clock()


@pytest.mark.parametrize("value", [[], {}, {"now": 7}, {"now": "noon"}, {"now": "2021-01-01T00:00:00"}, "now"])
def test_a_clock_without_a_time_and_zone_is_malformed(script: Scripted, value: Any) -> None:
    script.say(value)
    clock = "(no usable clock|a clock without a time zone)"
    with pytest.raises(SourceMalformed, match=rf"/clock sent {clock} in the response: got 200"):
        script.source().read_clock()


def test_a_clock_in_another_zone_is_read_as_utc(script: Scripted) -> None:
    script.say({"now": "2021-01-01T02:00:00.000001+02:00"})
    assert script.source().read_clock() == START + timedelta(microseconds=1)


def test_secrets_of_the_base_url_go_with_every_page_and_into_no_message(script: Scripted) -> None:
    script.say({"data": [], "next": "/v1/rows?cursor=2"})
    script.say({"error": "who are you"}, 401)
    base = script.url.replace("//", "//me:passw0rd@") + "/v1?token=s3cret"
    with pytest.raises(SourceMalformed) as caught:
        fetch(RestSource(base, "rows"))
    assert str(caught.value) == f"{script.url}/v1/rows denied access: got 401 application/json: who are you"
    assert script.asked[0].startswith("/v1/rows?token=s3cret&updated_after=2021")
    assert script.asked[1] == "/v1/rows?cursor=2&token=s3cret"
    assert None not in script.authorizations


@pytest.mark.parametrize("url", ["", "ftp://host", "http://", "http://host:port", "/rows"])
def test_a_base_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="the base URL of rows"):
        RestSource(url, "rows")


def test_a_window_without_zone_is_refused(script: Scripted) -> None:
    with pytest.raises(UsageError, match="a window needs times with a zone"):
        fetch(script.source(), datetime(2021, 1, 1))  # noqa: DTZ001
    assert script.asked == []


# The three styles of paging, and what they share

STYLES = {
    "link": LinkPaging(),
    "link in the header": LinkPaging(rows="", link=None),
    "cursor": CursorPaging(rows="result.items", cursor="result.next"),
    "offset": OffsetPaging(),
    "offset with total": OffsetPaging(total="total"),
}


@dataclass
class Shelf:
    """A real server with rows to page through in every style; it caps its pages at `most` rows."""

    rows: list[dict[str, Any]]
    most: int = 100
    url: str = ""
    asked: list[dict[str, str]] = field(default_factory=list)
    tokens: list[str | None] = field(default_factory=list)
    before: Callable[[], None] = lambda: None

    def answer(self, style: str, query: dict[str, str]) -> tuple[Any, dict[str, str]]:
        self.asked.append(query)
        self.before()
        start = int(query.get("cursor") or query.get("offset") or 0)
        end = start + min(self.most, int(query["limit"]))
        rows, more = self.rows[start:end], end < len(self.rows)
        link = f"/{style}?limit={query['limit']}&cursor={end}" if more else None
        match style:
            case "link":
                return {"data": rows, "next": link}, {}
            case "header":
                last = '</header?limit=9&cursor=0>; rel="first"'
                return rows, {"Link": f'{last}, <{link}>; rel="next"' if link else last}
            case "cursor":
                return {"result": {"items": rows, "next": end if more else None}}, {}
            case _:
                return {"data": rows, "total": len(self.rows)}, {}

    def source(self, style: str, **options: Any) -> RestSource:
        path = {"link in the header": "header", "offset with total": "offset"}.get(style, style)
        return RestSource(self.url, path, **{"paging": STYLES[style], "page_size": 3, "timeout": 30, **options})


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    shelf = Shelf([{"id": number} for number in range(7)])

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = httpx.URL(self.path)
            shelf.tokens.append(self.headers.get("Authorization"))
            value, headers = shelf.answer(url.path.removeprefix("/"), dict(url.params))
            body = json.dumps(value).encode()
            self.send_response(200)
            for name, text in headers.items():
                self.send_header(name, text)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    shelf.url = f"http://127.0.0.1:{server.server_port}"
    yield shelf
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("rows", [0, 1, 3, 6, 7])
def test_each_style_brings_every_row_once_and_in_order(shelf: Shelf, style: str, rows: int) -> None:
    shelf.rows = shelf.rows[:rows]
    assert [row["id"] for row in fetch(shelf.source(style))] == list(range(rows))


@pytest.mark.parametrize("style", STYLES)
def test_a_short_page_is_not_taken_for_the_last_one(shelf: Shelf, style: str) -> None:
    shelf.most = 2  # the API gives less than it is asked for
    assert [row["id"] for row in fetch(shelf.source(style, page_size=5))] == list(range(7))


@pytest.mark.parametrize("style", ["cursor", "offset", "offset with total"])
def test_each_page_is_asked_for_with_the_window(shelf: Shelf, style: str) -> None:
    fetch(shelf.source(style))
    assert len({(query["updated_after"], query["updated_until"], query["limit"]) for query in shelf.asked}) == 1
    places = [query.get("cursor") or query.get("offset") for query in shelf.asked]
    assert places == [None, "3", "6", *(["7"] if style == "offset" else [])]


@pytest.mark.parametrize(
    ("paging", "page"),
    [
        (LinkPaging(), {"data": [{"id": 1}], "next": "/rows?cursor=a"}),
        (CursorPaging(), {"data": [{"id": 1}], "next_cursor": "a"}),
    ],
)
def test_a_link_or_cursor_that_comes_again_is_a_loop(script: Scripted, paging: Any, page: Any) -> None:
    script.say(page)
    with pytest.raises(SourceMalformed, match="is in a pagination loop: its next page was already read"):
        fetch(script.source(paging=paging))
    assert len(script.asked) == 2


def test_an_api_that_does_not_know_the_offset_is_not_read_for_ever(script: Scripted) -> None:
    script.say({"data": [{"id": 1}]})
    with pytest.raises(SourceMalformed, match="did not return a page other than the one before"):
        fetch(script.source(paging=OffsetPaging()))
    assert len(script.asked) == 2


def test_a_row_that_leaves_while_pages_are_read_by_offset_hides_another_one_which_only_a_total_tells(
    shelf: Shelf,
) -> None:
    def lose_the_first() -> None:
        if len(shelf.asked) == 2:
            del shelf.rows[0]

    shelf.before = lose_the_first
    assert [row["id"] for row in fetch(shelf.source("offset"))] == [0, 1, 2, 4, 5, 6], "the documented limit"
    shelf.rows, shelf.asked = [{"id": number} for number in range(7)], []
    with pytest.raises(SourceMalformed, match="changed while it was read: there were 7 rows at its first page and 6"):
        fetch(shelf.source("offset with total"))


@pytest.mark.parametrize("pages", [([1, 2], []), ([1, 2], [3, 4])])
def test_pages_that_do_not_add_up_to_the_total_are_refused(script: Scripted, pages: tuple[list[int], ...]) -> None:
    for ids in pages:
        script.say({"data": [{"id": number} for number in ids], "total": 3})
    with pytest.raises(SourceMalformed, match="it announced 3 rows and brought"):
        fetch(script.source(paging=OffsetPaging(total="total")))


@pytest.mark.parametrize(
    ("paging", "value", "message"),
    [
        (CursorPaging(), {"data": []}, "a cursor or null in `next_cursor`"),
        (CursorPaging(), {"data": [], "next_cursor": True}, "a cursor or null in `next_cursor`"),
        (CursorPaging(cursor="meta.next"), {"data": [], "meta": []}, "a cursor or null in `meta.next`"),
        (CursorPaging(rows="items"), {"data": [], "next_cursor": None}, "rows in `items`"),
        (OffsetPaging(total="total"), {"data": []}, "a number of rows in `total`"),
        (OffsetPaging(total="total"), {"data": [], "total": -1}, "a number of rows in `total`"),
        (LinkPaging(rows="", link=None), {"data": []}, "rows in its body"),
        (LinkPaging(rows="", link=None), [1], "rows in its body"),
    ],
)
def test_a_page_of_another_style_than_declared_is_malformed(
    script: Scripted, paging: Any, value: Any, message: str
) -> None:
    script.say(value)
    with pytest.raises(SourceMalformed, match=f"did not return a page with {message}: got 200"):
        fetch(script.source(paging=paging))


@pytest.mark.parametrize("end", [{}, {"next_cursor": None}, {"next_cursor": ""}])
def test_a_cursor_may_be_left_out_on_the_last_page_where_that_is_declared(script: Scripted, end: Any) -> None:
    script.say({"data": [{"id": 1}], "next_cursor": "b"})
    script.say({"data": [{"id": 2}], **end})
    assert len(fetch(script.source(paging=CursorPaging(may_be_absent=True)))) == 2
    assert script.asked[1].endswith("&cursor=b")


def test_a_header_link_to_another_host_is_never_asked_for_and_gets_no_token(
    start_script: Callable[[], Scripted],
) -> None:
    script, foreign = start_script(), start_script()
    script.say([{"id": 1}], Link=f'<{foreign.url}/rows>; rel="next"')
    with pytest.raises(SourceMalformed, match="sends us to another host"):
        fetch(script.source(paging=LinkPaging(rows="", link=None), token=lambda: "s3cret"))
    assert foreign.asked == []


@pytest.mark.parametrize("style", STYLES)
def test_the_token_is_asked_for_before_each_request(shelf: Shelf, style: str) -> None:
    tokens = (f"token-{number}" for number in range(100))
    fetch(shelf.source(style, token=lambda: next(tokens)))
    assert shelf.tokens == [f"Bearer token-{number}" for number in range(len(shelf.asked))]


def test_a_token_and_a_user_in_the_url_are_refused() -> None:
    with pytest.raises(UsageError, match="one of them is needed"):
        RestSource("https://me:pw@example.com", "rows", token=lambda: "x")


def test_a_page_larger_than_the_limit_is_refused_before_all_of_it_is_read(script: Scripted) -> None:
    script.say(b" " * 3_000_000 + b'{"data": [], "next": null}')
    assert fetch(script.source()) == []
    with pytest.raises(SourceMalformed, match=r"/rows\?updated_after=\S+ sent more than 1,000,000 bytes for one page"):
        fetch(script.source(max_body=1_000_000))


def test_a_window_that_takes_longer_than_its_deadline_is_given_up(script: Scripted) -> None:
    script.say({}, 503, Retry_After="20")
    with pytest.raises(SourceUnavailable, match=r"was not read within 0\.5 s in all"):
        fetch(script.source(deadline=0.5))
    assert len(script.asked) == 1
    script.answers.clear()
    script.say({"data": [], "next": None})
    with pytest.raises(SourceUnavailable, match="was not read within 0 s in all"):
        fetch(script.source(deadline=0.0))
    assert len(script.asked) == 1
