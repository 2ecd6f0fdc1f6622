"""The Salesforce adapter against a real HTTPS server: the simulated company's org."""

from __future__ import annotations

import json
import logging
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from dartifact import wiring
from dartifact.adapters.contracts.contracts import load_contract
from dartifact.adapters.sources.salesforce import ApiLimit, SalesforceSource
from dartifact.adapters.tables.batches import build_batch
from dartifact.demo.company import Company, CompanyState
from dartifact.demo.records import TICK
from dartifact.demo.salesforce import CLIENT_ID, CLIENT_SECRET, PAGE
from dartifact.demo.server import SimulatedSources, simulated_sources
from dartifact.demo.soql import Refused
from dartifact.demo.stand_in import ask_company
from dartifact.domain.errors import SourceMalformed, SourceUnavailable, UsageError
from dartifact.domain.sources import SourceAccess
from dartifact.project import load_source
from dartifact.settings import read_settings
from flows.customers import FIELDS, OBJECT, extract

START = datetime(2021, 1, 1, tzinfo=UTC)
FAR = START + 1000 * TICK
SMALL = CompanyState(seed=7, start=START, now=START, orders_per_tick=5, customers=120)
BIG = replace(SMALL, customers=2 * PAGE + 500)


@pytest.fixture
def sources(tmp_path: Path) -> Iterator[SimulatedSources]:
    with simulated_sources(tmp_path / "state.json", initial=SMALL) as running:
        yield running


@pytest.fixture
def big(tmp_path: Path) -> Iterator[SimulatedSources]:
    """Return a company with three pages of customers, all of them new."""
    with simulated_sources(tmp_path / "big.json", initial=BIG) as running:
        running.advance()
        yield running


def open_source(sources: SimulatedSources, **changes: Any) -> SalesforceSource:
    access = replace(sources.access("customers"), **changes.pop("access", {}))
    options = {"timeout": 30, "attempts": 2, "pause": 0.01, **changes}
    return SalesforceSource(access, OBJECT, options.pop("columns", FIELDS), **options)


def fetch(source: SalesforceSource, lo: datetime = START, hi: datetime = FAR) -> list[dict[str, Any]]:
    return [row for page in source.fetch(lo, hi) for row in page]


def numbers(rows: list[dict[str, Any]]) -> list[str]:
    return [row["customer_id"] for row in rows]


def ask(sources: SimulatedSources, path: str, **options: Any) -> httpx.Response:
    trust = ssl.create_default_context(cafile=str(sources.salesforce.ca_file))
    with httpx.Client(base_url=sources.salesforce.url, verify=trust, trust_env=False) as client:
        login = {"grant_type": "client_credentials", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
        token = client.post("/services/oauth2/token", data=login).json()["access_token"]
        return client.get(path, headers={"Authorization": f"Bearer {token}"}, **options)


# What is read


def test_a_window_brings_the_current_record_of_each_customer_that_changed_in_it(sources: SimulatedSources) -> None:
    sources.advance(4)
    rows = fetch(open_source(sources))
    company = Company.from_state(sources.state)
    latest = {row["customer_id"]: row for row in company.changes("customers", START, company.now)}
    mine = {row["customer_id"]: row for row in rows if row["customer_id"] < "C8"}
    assert len(rows) == len(set(numbers(rows)))
    assert mine.keys() == latest.keys()
    for number, row in mine.items():
        assert {**row, "updated_at": 0} == {**latest[number], "updated_at": 0, "_deleted": False}
        late = datetime.fromisoformat(row["updated_at"]) - datetime.fromisoformat(latest[number]["updated_at"])
        assert timedelta(0) <= late < timedelta(seconds=1)


def test_windows_that_follow_each_other_bring_every_change_once(sources: SimulatedSources) -> None:
    source, brought, lo = open_source(sources), 0, START
    for _ in range(6):
        sources.advance()
        hi = source.read_clock()
        rows = fetch(source, lo, hi)
        assert all(lo < datetime.fromisoformat(row["updated_at"]) <= hi for row in rows)
        expected = {row["customer_id"] for row in Company.from_state(sources.state).changes("customers", lo, hi)}
        assert {number for number in numbers(rows) if number < "C8"} == expected
        brought, lo = brought + len(rows), hi
    assert brought > 120
    assert fetch(source, lo, lo) == []


def test_pages_of_two_thousand_come_together_in_order_and_nothing_is_lost(big: SimulatedSources) -> None:
    pages = list(open_source(big).fetch(START, big.now))
    assert [len(page) for page in pages] == [PAGE, PAGE, 500]
    rows = [row for page in pages for row in page]
    assert numbers(rows) == [f"C{number:06d}" for number in range(1, BIG.customers + 1)]
    stamps = [row["updated_at"] for row in rows]
    assert stamps == sorted(stamps)
    assert stamps[0] == "2021-01-01T00:00:01Z"


def test_an_empty_window_is_one_empty_page(sources: SimulatedSources) -> None:
    sources.advance()
    assert list(open_source(sources).fetch(sources.now, sources.now + TICK)) == [[]]


def test_a_deleted_customer_comes_once_more_marked_and_no_order_names_it(sources: SimulatedSources) -> None:
    source, lo, entered, deleted = open_source(sources), START, set(), set()
    for _ in range(40):
        sources.advance()
        rows = fetch(source, lo, sources.now)
        entered |= {row["customer_id"] for row in rows if row["customer_id"] > "C8" and not row["_deleted"]}
        deleted |= {row["customer_id"] for row in rows if row["_deleted"]}
        lo = sources.now
    assert len(deleted) > 5
    assert deleted <= entered
    assert len(entered - deleted) < 5
    company = Company.from_state(sources.state)
    assert not entered & {row["customer_id"] for row in company.changes("orders", START, company.now)}
    assert not entered & {row["customer_id"] for row in company.changes("customers", START, company.now)}
    shown = ask(sources, "/services/data/v62.0/query/", params={"q": f"SELECT Customer_Number__c FROM {OBJECT}"})
    assert not deleted & {record["Customer_Number__c"] for record in shown.json()["records"]}


def test_what_is_read_fits_the_contract_of_customers(sources: SimulatedSources) -> None:
    sources.advance(12)
    contract = load_contract(Path(__file__).parents[2] / "checks" / "customers.yml")
    table = build_batch(fetch(extract(sources.access("customers"))), contract.columns, zone=None)
    declared = dict(contract.columns)
    assert table.column_names == [*declared, "_deleted"]
    assert str(table.schema.field("updated_at").type) == "timestamp[us, tz=UTC]"
    assert table.column("_deleted").to_pylist().count(True) > 0


# The clock


def test_the_clock_is_the_servers_and_not_ours(sources: SimulatedSources) -> None:
    source = open_source(sources)
    assert source.read_clock() == START
    sources.advance(3)
    assert source.read_clock() == START + 3 * TICK
    sources.set_clock_skew(-7)
    assert source.read_clock() == START + 3 * TICK - timedelta(seconds=7)


def test_a_clock_ahead_of_the_records_by_less_than_the_overlap_loses_nothing(sources: SimulatedSources) -> None:
    overlap = timedelta(seconds=30)
    sources.set_clock_skew(20)
    source, seen, lo = open_source(sources), set(), START
    for _ in range(5):
        sources.advance()
        hi = source.read_clock()
        seen |= {(row["customer_id"], row["updated_at"]) for row in fetch(source, max(START, lo - overlap), hi)}
        lo = hi
    company = Company.from_state(sources.state)
    wanted = {(row["customer_id"]) for row in company.changes("customers", START, company.now)}
    assert wanted <= {number for number, _ in seen}


# Tokens


def test_one_token_serves_many_calls(sources: SimulatedSources) -> None:
    sources.advance()
    source = open_source(sources)
    source.read_clock()
    fetch(source)
    fetch(source)
    assert sources.salesforce.logins == 1


def test_a_token_that_expires_between_pages_is_replaced_and_no_row_is_lost_or_doubled(big: SimulatedSources) -> None:
    big.set_token_calls(1)
    rows = fetch(open_source(big))
    assert numbers(rows) == [f"C{number:06d}" for number in range(1, BIG.customers + 1)]
    assert big.salesforce.logins == 3
    first, second, third = big.salesforce.queries
    assert "SystemModstamp > 2021-01-01T00:00:00Z AND" in first
    # All of them are of one second: the stamp alone would lose some, or read the same ones for ever.
    assert "OR (SystemModstamp = 2021-01-01T00:00:01Z AND Id > 'a00000000002000AAA'))" in second
    assert "OR (SystemModstamp = 2021-01-01T00:00:01Z AND Id > 'a00000000004000AAA'))" in third


def test_reading_goes_on_at_the_last_second_when_records_change_before_the_token_is_replaced(
    big: SimulatedSources,
) -> None:
    big.advance(3)
    expected = numbers(fetch(open_source(big)))
    org, calls = big.salesforce, iter(range(100))

    def change() -> None:
        if next(calls) == 1:
            big.advance()  # some of those that were read, and some that were not, move beyond the window
            org.expire_tokens()
            raise Refused("INVALID_SESSION_ID", "Session expired or invalid")

    hi = big.now
    org.before_query = change
    rows = fetch(open_source(big), START, hi)
    assert len(rows) == len(set(numbers(rows)))
    moved = set(expected) - set(numbers(rows))
    later = {row["customer_id"] for row in fetch(open_source(big), hi, big.now)}
    assert moved, "nothing moved: the test shows nothing"
    assert moved <= later


def test_a_client_that_is_never_let_in_is_malformed_after_one_new_token(sources: SimulatedSources) -> None:
    sources.advance()
    sources.salesforce.before_query = sources.salesforce.expire_tokens
    source = open_source(sources)
    assert len(fetch(source)) == 120
    expired = Refused("INVALID_SESSION_ID", "Session expired or invalid")
    sources.salesforce.admit = lambda _: expired  # type: ignore[method-assign]
    with pytest.raises(SourceMalformed, match="denied access: got 401 INVALID_SESSION_ID: Session expired"):
        fetch(source)
    assert sources.salesforce.logins == 2


@pytest.mark.parametrize("wrong", [{"client_id": "somebody"}, {"client_secret": "s3cret-guess"}])
def test_a_wrong_login_is_refused_with_a_hint_and_without_the_secret(
    sources: SimulatedSources, wrong: dict[str, str]
) -> None:
    with pytest.raises(SourceMalformed) as caught:
        open_source(sources, access=wrong).read_clock()
    assert str(caught.value) == (
        f"{sources.salesforce.url} denied access: got 400 invalid_client: invalid client credentials"
    )
    assert "DARTIFACT_SALESFORCE_CLIENT_SECRET" in str(caught.value.hint)
    told = f"{caught.value!r} {caught.value.__cause__!r} {sources.access('customers')!r}"
    assert "s3cret-guess" not in told
    assert CLIENT_SECRET not in told


# Limits


def test_the_calls_of_the_day_are_kept_and_a_warning_comes_once_above_four_fifths(
    sources: SimulatedSources, caplog: pytest.LogCaptureFixture
) -> None:
    source, org = open_source(sources), sources.salesforce
    source.read_clock()
    assert source.limit == ApiLimit(1, 15_000)
    org.api_used = 12_000
    with caplog.at_level(logging.WARNING, logger="dartifact.adapters.sources.salesforce"):
        source.read_clock()
        source.read_clock()
    assert source.limit == ApiLimit(12_002, 15_000)
    assert [record.getMessage() for record in caplog.records] == [
        f"{org.url}: 12,001 of 15,000 API calls of the day are used"
    ]


def test_an_org_without_calls_left_is_unavailable_and_not_asked_again(sources: SimulatedSources) -> None:
    sources.salesforce.api_limit = 0
    with pytest.raises(SourceUnavailable, match=r"has no API calls left today: got 403 REQUEST_LIMIT_EXCEEDED: Total"):
        open_source(sources).read_clock()
    assert not sources.salesforce.queries


# Faults


@pytest.mark.parametrize(
    ("outage", "error", "message"),
    [
        ("down", SourceUnavailable, "is not available: got 503 server_unavailable: down for maintenance"),
        ("html", SourceMalformed, "did not return JSON: got <!doctype html>"),
        ("half_page", SourceMalformed, "broke off in the middle of the response"),
        ("slow", SourceUnavailable, "sent nothing for 0.6 s"),
    ],
)
def test_each_outage_gives_its_error_in_one_line_and_is_over_when_it_is_over(
    sources: SimulatedSources, outage: str, error: type[Exception], message: str
) -> None:
    sources.advance()
    source = open_source(sources, timeout=0.6 if outage == "slow" else 30)
    sources.set_outage("customers", outage)
    with pytest.raises(error) as caught:
        fetch(source)
    assert str(caught.value).startswith(f"{sources.salesforce.url} {message}")
    assert "\n" not in str(caught.value)
    sources.set_outage("customers", "none")
    assert len(fetch(source)) == 120


@pytest.mark.parametrize(
    ("outage", "error", "message"),
    [
        ("down", SourceUnavailable, "is not available: got 503 SERVER_UNAVAILABLE: Salesforce is down for maintenance"),
        ("html", SourceMalformed, "did not return JSON: got <!doctype html>"),
        ("half_page", SourceMalformed, "broke off in the middle of the response"),
    ],
)
def test_an_outage_between_pages_stops_the_window(
    big: SimulatedSources, outage: str, error: type[Exception], message: str
) -> None:
    pages = open_source(big).fetch(START, big.now)
    assert len(next(pages)) == PAGE
    big.set_outage("customers", outage)
    with pytest.raises(error, match=message):
        next(pages)


def test_a_result_that_was_forgotten_between_pages_is_asked_for_again_from_where_it_stood(
    big: SimulatedSources,
) -> None:
    pages = open_source(big).fetch(START, big.now)
    rows = next(pages)
    big.salesforce.forget_results()
    rows += [row for page in pages for row in page]
    assert numbers(rows) == [f"C{number:06d}" for number in range(1, BIG.customers + 1)]


def test_a_result_that_begins_again_and_again_is_a_loop(big: SimulatedSources) -> None:
    org = big.salesforce
    first = org.query_more
    org.query_more = lambda place: first(place.partition("-")[0] + "-0")  # type: ignore[method-assign]
    with pytest.raises(
        SourceMalformed, match=f"is in a pagination loop: record a00000000000001AAA of {OBJECT} was already read"
    ):
        fetch(open_source(big))


@pytest.mark.parametrize("page", [{}, {"records": []}, {"done": True}, {"records": None, "done": True}, []])
def test_what_is_not_a_page_is_malformed(sources: SimulatedSources, page: Any) -> None:
    sources.salesforce.query = lambda *_, **__: page  # type: ignore[method-assign]
    with pytest.raises(SourceMalformed, match="did not return a page of records"):
        fetch(open_source(sources))


@pytest.mark.parametrize("stamp", [None, "yesterday", "2021-01-01T00:00:00", 7])
def test_a_record_without_a_stamp_is_malformed(sources: SimulatedSources, stamp: Any) -> None:
    record = {"Id": "a00", "SystemModstamp": stamp, "IsDeleted": False}
    sources.salesforce.query = lambda *_, **__: {"records": [record], "done": True}  # type: ignore[method-assign]
    with pytest.raises(SourceMalformed, match="SystemModstamp"):
        fetch(open_source(sources))


def test_a_field_that_was_taken_away_stops_the_clock_before_anything_is_claimed(sources: SimulatedSources) -> None:
    sources.add_fault("customers", "missing_column")
    sources.advance()
    with pytest.raises(
        SourceMalformed, match=r"refused the request: got 400 INVALID_FIELD: No such column 'Country__c'"
    ):
        open_source(sources).read_clock()
    sources.advance()
    assert open_source(sources).read_clock() == sources.now
    assert None in {row["country"] for row in fetch(open_source(sources))}


def test_an_object_or_field_of_another_name_is_refused_in_the_words_of_salesforce(sources: SimulatedSources) -> None:
    with pytest.raises(SourceMalformed, match="400 INVALID_FIELD: No such column 'Nmae' on entity 'Customer__c'"):
        open_source(sources, columns={**FIELDS, "name": "Nmae"}).read_clock()
    wrong = SalesforceSource(sources.access("customers"), "Customers", FIELDS)
    with pytest.raises(SourceMalformed, match="400 INVALID_TYPE: sObject type 'Customers' is not supported"):
        wrong.read_clock()


def test_a_stopped_org_is_unavailable_after_all_attempts(sources: SimulatedSources) -> None:
    source = open_source(sources)
    sources.stop()
    with pytest.raises(SourceUnavailable, match=rf"{sources.salesforce.url} cannot be reached: .*refused"):
        source.read_clock()


def test_a_certificate_of_an_unknown_authority_is_refused_with_a_hint(sources: SimulatedSources) -> None:
    with pytest.raises(SourceMalformed, match="has a certificate that is not trusted") as caught:
        open_source(sources, access={"ca_file": None}).read_clock()
    assert "DARTIFACT_SALESFORCE_CA_FILE" in str(caught.value.hint)


def test_a_bundle_of_the_environment_does_not_replace_the_declared_one(
    sources: SimulatedSources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other.pem").write_text("")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "other.pem"))
    assert open_source(sources).read_clock() == START


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"access": {"url": "http://example.com"}}, "has to be https://"),
        ({"access": {"url": "https://me:pw@example.com"}}, "has to be https://"),
        ({"access": {"client_id": ""}}, "there are none"),
        ({"access": {"client_secret": ""}}, "there are none"),
        ({"access": {"ca_file": Path("/nowhere.pem")}}, "is not a file"),
        ({"columns": {"name": "Name"}}, "needs a column that is read from SystemModstamp"),
        ({"columns": {**FIELDS, "name": "Name FROM User"}}, "not a Salesforce name"),
        ({"attempts": 0}, "at least one attempt"),
    ],
)
def test_a_source_that_cannot_work_is_refused_before_it_is_asked(
    sources: SimulatedSources, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        open_source(sources, **changes)
    assert "pw" not in str(caught.value)


def test_shards_and_times_without_zone_are_refused(sources: SimulatedSources) -> None:
    with pytest.raises(UsageError, match="read by one ingestor"):
        next(open_source(sources).fetch(START, FAR, shard=1, shards=2))
    with pytest.raises(UsageError, match="times with a zone"):
        next(open_source(sources).fetch(datetime(2021, 1, 1), FAR))  # noqa: DTZ001


# The simulated org


def test_describe_names_the_fields(sources: SimulatedSources) -> None:
    answer = ask(sources, f"/services/data/v62.0/sobjects/{OBJECT}/describe").json()
    assert set(FIELDS.values()) | {"Id", "IsDeleted"} <= {field["name"] for field in answer["fields"]}


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/services/data/v62.0/nothing", 404, "NOT_FOUND"),
        ("/services/data/v62.0/query/", 400, "INVALID_QUERY_LOCATOR"),
        ("/services/data/v62.0/query/?q=DELETE", 400, "MALFORMED_QUERY"),
        (f"/services/data/v62.0/query/?q=SELECT+Id+FROM+{OBJECT}+WHERE+SystemModstamp+>+today", 400, "MALFORMED_QUERY"),
        (
            f"/services/data/v62.0/query/?q=SELECT+Id+FROM+{OBJECT}+WHERE+Name+>+2021-01-01T00:00:00Z",
            400,
            "INVALID_FIELD",
        ),
        (f"/services/data/v62.0/query/?q=SELECT+Id+FROM+{OBJECT}+WHERE+(Id+>+'a'", 400, "MALFORMED_QUERY"),
        (f"/services/data/v62.0/query/?q=SELECT+Id+FROM+{OBJECT}+WHERE+Id+>+'a'+Id", 400, "MALFORMED_QUERY"),
        ("/services/data/v62.0/query/01g-2000", 400, "INVALID_QUERY_LOCATOR"),
    ],
)
def test_errors_are_lists_with_codes(sources: SimulatedSources, path: str, status: int, code: str) -> None:
    answer = ask(sources, path)
    assert (answer.status_code, [each["errorCode"] for each in answer.json()]) == (status, [code])
    assert answer.headers["Sforce-Limit-Info"].startswith("api-usage=1/")


def test_authority_and_certificate_are_kept_so_that_clients_in_other_processes_keep_trusting(tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    with simulated_sources(file, initial=SMALL) as first, simulated_sources(file) as second:
        access = first.access("customers")
        assert access.ca_file == second.access("customers").ca_file
        before = access.ca_file.read_bytes() if access.ca_file else b""
        assert open_source(second).read_clock() == START
    with simulated_sources(file) as third:
        assert third.salesforce.ca_file.read_bytes() == before
    assert (tmp_path / "server.pem").stat().st_mode & 0o077 == 0


def test_many_clients_are_served_at_once(sources: SimulatedSources) -> None:
    sources.advance()
    ready = threading.Barrier(4)

    def read(_: int) -> int:
        source = open_source(sources)
        ready.wait(60)
        return len(fetch(source))

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(read, range(4))) == [120] * 4


def test_stamps_are_whole_seconds_and_only_grow(sources: SimulatedSources) -> None:
    sources.advance(5)
    stamps = [row["updated_at"] for row in fetch(open_source(sources))]
    assert all(datetime.fromisoformat(stamp).microsecond == 0 for stamp in stamps)
    assert all(old <= new for old, new in pairwise(stamps))
    assert json.dumps(stamps)


def test_the_access_tells_its_secret_to_nobody() -> None:
    access = SourceAccess("https://example.my.salesforce.com", "id", "hush")
    assert "hush" not in repr(access)


# What the wiring gives


def test_what_stands_in_lets_five_minutes_pass_also_when_several_come_at_once(tmp_path: Path) -> None:
    settings = read_settings(home=tmp_path)

    def call(dataset: str) -> datetime:
        with wiring.open_source(settings, dataset, partial(ask_company, tmp_path)) as access:
            module = load_source(dataset, settings.project)
            now: datetime = module.extract(access).read_clock()
            return now

    with ThreadPoolExecutor(4) as pool:
        clocks = list(pool.map(call, ["orders", "orders", "customers", "customers"]))
    assert max(clocks) == START + 4 * TICK
    assert min(clocks) >= START + TICK


def test_a_url_that_is_set_comes_with_the_login_of_the_settings(tmp_path: Path) -> None:
    settings = read_settings(
        home=tmp_path,
        source_urls={"customers": "https://example.my.salesforce.com"},
        salesforce_client_id="app",
        salesforce_client_secret="hush",
        salesforce_ca_file=tmp_path / "ca.pem",
    )
    with wiring.open_source(settings, "customers") as access:
        assert access == SourceAccess("https://example.my.salesforce.com", "app", "hush", tmp_path / "ca.pem")
    assert "hush" not in repr(settings)
    assert list(tmp_path.iterdir()) == []
