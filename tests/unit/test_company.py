"""The simulated company: reproducible, consistent, and wrong only where a fault says so."""

from __future__ import annotations

import json
import re
import time
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from statistics import median
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dartifact.demo.company import Company, CompanyState
from dartifact.demo.faults import FAULT_KINDS, LATE_WITHIN, Fault
from dartifact.demo.records import COLUMNS, CURRENCIES, SEGMENTS, TICK, changed_customers, new_customers, stamp
from dartifact.domain.errors import UsageError

START = datetime(2021, 1, 1, tzinfo=UTC)
NEXT_STATUSES = {"placed": {"paid", "cancelled"}, "paid": {"shipped"}, "shipped": {"returned"}}


def make_company(ticks: int = 16, *, seed: int = 7, orders_per_tick: int = 60, customers: int = 300) -> Company:
    company = Company(seed, START, orders_per_tick, customers)
    if ticks:
        company.advance(ticks)
    return company


def all_changes(company: Company, dataset: str) -> list[dict[str, Any]]:
    return company.changes(dataset, START, company.now)


@pytest.fixture(scope="module")
def company() -> Company:
    return make_company()


@pytest.fixture(scope="module")
def orders(company: Company) -> list[dict[str, Any]]:
    return all_changes(company, "orders")


@pytest.fixture(scope="module")
def customers(company: Company) -> list[dict[str, Any]]:
    return all_changes(company, "customers")


@pytest.mark.parametrize("dataset", ["orders", "customers"])
def test_same_seed_gives_the_same_rows_in_whatever_order_they_are_asked_for(dataset: str) -> None:
    forwards, backwards = make_company(), make_company()
    rows = [forwards.rows(dataset, tick) for tick in range(1, 17)]
    assert rows == [backwards.rows(dataset, tick) for tick in range(16, 0, -1)][::-1]
    assert rows != [make_company(seed=8).rows(dataset, tick) for tick in range(1, 17)]


def test_rows_stay_the_same_from_release_to_release() -> None:
    company = make_company(1, orders_per_tick=100, customers=50)
    assert company.rows("orders", 1)[0] == {
        "order_id": 1,
        "customer_id": "C000014",
        "status": "placed",
        "amount": "17.94",
        "currency": "USD",
        "ordered_at": "2021-01-01T00:00:04.500478Z",
        "updated_at": "2021-01-01T00:00:04.500478Z",
    }
    assert company.rows("customers", 1)[0] == {
        "customer_id": "C000001",
        "name": "Femi Ivanov",
        "email": "femi.ivanov1@example.com",
        "segment": "consumer",
        "country": "PL",
        "updated_at": "2021-01-01T00:00:00.000001Z",
    }


def test_nothing_exists_before_the_first_tick() -> None:
    company = make_company(0)
    assert company.changes("orders", START - TICK, START + TICK) == []
    assert company.changes("customers", START - TICK, START + TICK) == []


def test_what_has_not_happened_yet_is_not_shown(company: Company) -> None:
    later = make_company(20)
    assert company.changes("orders", START, later.now) == later.changes("orders", START, company.now)
    with pytest.raises(UsageError, match="tick 17 has not happened; the last one is 16"):
        company.rows("orders", 17)


@given(cuts=st.lists(st.integers(0, 3 * TICK // timedelta(microseconds=1)), max_size=4))
def test_windows_cut_anywhere_bring_every_record_once_and_in_order(cuts: list[int]) -> None:
    company = make_company(3, orders_per_tick=20, customers=20)
    edges = [START, *(START + timedelta(microseconds=cut) for cut in sorted(cuts)), company.now]
    for dataset, key in (("orders", "order_id"), ("customers", "customer_id")):
        windows = [company.changes(dataset, lo, hi) for lo, hi in pairwise(edges)]
        rows = [row for window in windows for row in window]
        assert rows == all_changes(company, dataset)
        assert rows == sorted(rows, key=lambda row: (row["updated_at"], row[key]))


def test_a_window_excludes_its_low_and_includes_its_high_end(company: Company) -> None:
    first, second = (datetime.fromisoformat(row["updated_at"]) for row in company.rows("orders", 3)[:2])
    assert company.changes("orders", first, second) == company.rows("orders", 3)[1:2]


def test_each_tick_brings_the_asked_number_of_new_orders(orders: list[dict[str, Any]], company: Company) -> None:
    assert [row["status"] for row in company.rows("orders", 1)] == ["placed"] * 60
    assert [row["order_id"] for row in orders if row["status"] == "placed"] == list(range(1, 16 * 60 + 1))


def test_customers_begin_with_the_population_and_then_grow_and_change_a_little(company: Company) -> None:
    assert (new_customers(300), changed_customers(300)) == (3, 5)
    first = company.rows("customers", 1)
    assert [row["customer_id"] for row in first] == [f"C{i:06d}" for i in range(1, 301)]
    assert first[-1]["updated_at"] < company.rows("orders", 1)[0]["ordered_at"]
    later = {row["customer_id"] for row in company.rows("customers", 5)}
    assert len(later) == 8
    assert {customer for customer in later if customer > "C000300"} == {"C000310", "C000311", "C000312"}


def test_a_changed_customer_has_moved_or_has_another_address() -> None:
    versions: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in all_changes(make_company(60, orders_per_tick=1, customers=40), "customers"):
        versions[row["customer_id"]].append(row)
    assert {len(versions[f"C{i:06d}"]) for i in range(1, 41)} == {8, 9}  # 40 first versions, then 59 x 5 changes
    for each in versions.values():
        for old, new in pairwise(each):
            assert {name for name in new if new[name] != old[name]} in (
                {"updated_at", "email"},
                {"updated_at", "country"},
            )


def test_every_record_has_the_declared_columns_and_is_plain_json(
    orders: list[dict[str, Any]], customers: list[dict[str, Any]]
) -> None:
    assert {tuple(row) for row in orders} == {COLUMNS["orders"]}
    assert {tuple(row) for row in customers} == {COLUMNS["customers"]}
    assert json.loads(json.dumps(orders + customers)) == orders + customers


def test_orders_refer_to_customers_that_were_there_before(
    orders: list[dict[str, Any]], customers: list[dict[str, Any]]
) -> None:
    since: dict[str, str] = {}
    for row in customers:
        since.setdefault(row["customer_id"], row["updated_at"])
    assert all(since[row["customer_id"]] < row["ordered_at"] for row in orders)
    assert any(row["customer_id"] > "C000300" for row in orders), "nobody who came later ever orders"


def test_orders_live_from_placed_to_their_end(orders: list[dict[str, Any]]) -> None:
    lives: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in orders:
        lives[row["order_id"]].append(row)
    for life in lives.values():
        assert life[0]["status"] == "placed"
        assert life[0]["updated_at"] == life[0]["ordered_at"]
        for old, new in pairwise(life):
            assert new["status"] in NEXT_STATUSES[old["status"]]
            assert {**new, "status": 0, "updated_at": 0} == {**old, "status": 0, "updated_at": 0}
    ends = [life[-1]["status"] for number, life in lives.items() if number <= 3 * 60]  # 13 ticks end every order
    assert set(ends) == {"shipped", "returned", "cancelled"}
    assert ends.count("shipped") > 0.8 * len(ends)


def test_every_stamp_lies_in_its_tick_and_no_order_changes_before_it_is_placed(company: Company) -> None:
    for tick in range(1, 17):
        lo, hi = stamp(START + (tick - 1) * TICK), stamp(START + tick * TICK)
        rows = company.rows("orders", tick)
        assert all(lo < row["updated_at"] <= hi and row["ordered_at"] <= row["updated_at"] for row in rows)
        assert all(lo < row["updated_at"] <= hi for row in company.rows("customers", tick))
        assert all(re.fullmatch(r"2021-01-01T\d\d:\d\d:\d\d\.\d{6}Z", row["ordered_at"]) for row in rows)


def test_amounts_have_two_decimals_and_grow_with_the_segment() -> None:
    company = make_company(1, orders_per_tick=3000)
    segment = {row["customer_id"]: row["segment"] for row in company.rows("customers", 1)}
    amounts: dict[str, list[float]] = defaultdict(list)
    for row in company.rows("orders", 1):
        assert re.fullmatch(r"[1-9]\d*\.\d\d", row["amount"])
        assert row["currency"] in CURRENCIES
        amounts[segment[row["customer_id"]]].append(float(row["amount"]))
    assert set(amounts) == set(SEGMENTS)
    assert 35 < median(amounts["consumer"]) < 45
    assert 180 < median(amounts["small_business"]) < 260
    assert 1200 < median(amounts["corporate"]) < 1900


def test_ten_thousand_orders_take_less_than_a_fifth_of_a_second() -> None:
    took = []
    for seed in (101, 102, 103):
        company = make_company(1, seed=seed, orders_per_tick=10_000)
        began = time.process_time()
        assert len(company.rows("orders", 1)) == 10_000
        took.append(time.process_time() - began)
    assert min(took) < 0.2


def spoil(dataset: str, *kinds: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the rows of tick 4 without and with faults, and see to it that nothing else differs."""
    clean, company = make_company(6), make_company(3)
    for kind in kinds:
        company.add_fault(dataset, kind)
    company.advance(3)
    for name in ("orders", "customers"):
        for tick in range(1, 7):
            if (name, tick) != (dataset, 4):
                assert company.rows(name, tick) == clean.rows(name, tick)
    return clean.rows(dataset, 4), company.rows(dataset, 4)


def differences(dataset: str, kind: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    before, after = spoil(dataset, kind)
    assert len(before) == len(after)
    return [(old, new) for old, new in zip(before, after, strict=True) if old != new]


@pytest.mark.parametrize(
    ("kind", "column", "is_spoiled"),
    [
        ("negative_amounts", "amount", lambda old, new: new == f"-{old}"),
        ("null_customers", "customer_id", lambda old, new: new is None),
        ("orphan_customers", "customer_id", lambda old, new: re.fullmatch(r"C9\d{5}", new)),
        ("unknown_status", "status", lambda old, new: new == "teleported"),
        ("text_amounts", "amount", lambda old, new: new == "n/a"),
    ],
)
def test_a_fault_in_values_spoils_one_new_order_in_ten(kind: str, column: str, is_spoiled: Any) -> None:
    pairs = differences("orders", kind)
    assert len(pairs) == 6
    for old, new in pairs:
        assert old["status"] == "placed"
        assert is_spoiled(old[column], new[column])
        assert {**new, column: None} == {**old, column: None}


def test_unknown_segment_spoils_at_least_one_customer() -> None:
    ((old, new),) = differences("customers", "unknown_segment")
    assert new == {**old, "segment": "martian"}


@pytest.mark.parametrize(("kind", "divisor"), [("amounts_divided_by_100", 100), ("net_amounts", 1.19)])
def test_divided_amounts_are_all_those_of_the_tick_and_stay_positive(kind: str, divisor: float) -> None:
    before, after = spoil("orders", kind)
    assert len(after) > 100
    for old, new in zip(before, after, strict=True):
        assert abs(float(new["amount"]) * divisor - float(old["amount"])) <= 0.005 * divisor
        assert float(new["amount"]) > 0
        assert re.fullmatch(r"\d+\.\d\d", new["amount"])


def test_duplicate_orders_come_twice_with_one_stamp_and_different_content() -> None:
    before, after = spoil("orders", "duplicate_orders")
    extra = [row for row in after if row not in before]
    assert (len(extra), len(after)) == (6, len(before) + 6)
    for row in extra:
        (original,) = [old for old in before if old["order_id"] == row["order_id"] and old["status"] == "placed"]
        assert row == {**original, "amount": row["amount"]}


def test_late_rows_are_published_a_tick_later_with_stamps_inside_any_overlap() -> None:
    company, clean = make_company(3), make_company(4)
    company.add_fault("orders", "late_rows")
    company.advance()
    shown, ends = company.rows("orders", 4), company.now
    company.advance()
    rows = company.rows("orders", 4)
    late = [row for row in rows if row not in shown]
    assert len(late) == 6
    assert all(ends - LATE_WITHIN < datetime.fromisoformat(row["updated_at"]) <= ends for row in late)
    assert all(row["status"] == "placed" and row["ordered_at"] <= row["updated_at"] for row in late)
    restore = {row["order_id"]: row["ordered_at"] for row in late}
    placed = [{**row, "updated_at": restore[row["order_id"]]} if row in late else row for row in rows]
    assert sorted(placed, key=lambda row: (row["updated_at"], row["order_id"])) == clean.rows("orders", 4)
    company.advance()
    assert company.rows("orders", 4) == rows


def test_double_entries_are_deleted_within_half_an_hour_and_share_no_number_with_customers_or_orders() -> None:
    company = make_company(200, orders_per_tick=5, customers=40)
    entered: dict[str, int] = {}
    deleted: dict[str, int] = {}
    for tick in range(1, 201):
        for row, is_deletion in company.double_entries(tick):
            lo, hi = stamp(START + (tick - 1) * TICK), stamp(START + tick * TICK)
            assert lo < row["updated_at"] <= hi
            assert (deleted if is_deletion else entered).setdefault(row["customer_id"], tick) == tick
    assert 40 < len(entered) < 100
    assert all(1 <= tick - entered[number] <= 6 for number, tick in deleted.items())
    assert {number for number, tick in entered.items() if tick <= 194} <= deleted.keys()
    known = {row["customer_id"] for name in ("orders", "customers") for row in all_changes(company, name)}
    assert not known & entered.keys()


@pytest.mark.parametrize(("dataset", "column"), [("orders", "currency"), ("customers", "country")])
def test_missing_column_is_missing_in_every_row(dataset: str, column: str) -> None:
    before, after = spoil(dataset, "missing_column")
    assert after == [{name: value for name, value in row.items() if name != column} for row in before]


@pytest.mark.parametrize("dataset", ["orders", "customers"])
def test_extra_column_is_in_every_row(dataset: str) -> None:
    before, after = spoil(dataset, "extra_column")
    assert after == [{**row, "channel": "web"} for row in before]


def test_an_epoch_date_is_in_one_row_that_is_valid_otherwise() -> None:
    before, after = spoil("orders", "epoch_date")
    (old, new), *more = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert not more
    assert new == {**old, "ordered_at": "1970-01-01T00:00:00.000000Z"}


@pytest.mark.parametrize("dataset", ["orders", "customers"])
def test_all_faults_of_a_dataset_go_together(dataset: str) -> None:
    before, after = spoil(dataset, *reversed(FAULT_KINDS[dataset]))
    assert len(after) >= len(before)
    assert all("channel" in row for row in after)
    assert spoil(dataset, *FAULT_KINDS[dataset]) == (before, after)


def test_the_smallest_company_can_be_spoiled_in_every_way() -> None:
    company = make_company(0, orders_per_tick=1, customers=1)
    for dataset, kinds in FAULT_KINDS.items():
        for kind in kinds:
            company.add_fault(dataset, kind)
    company.advance(2)
    assert len(company.rows("orders", 1)) == 2
    assert [row["segment"] for row in company.rows("customers", 1)] == ["martian"]


def test_an_unknown_fault_lists_the_known_ones() -> None:
    with pytest.raises(
        UsageError, match="no fault 'gremlins' for customers; there are: unknown_segment, missing_column"
    ):
        make_company().add_fault("customers", "gremlins")
    with pytest.raises(UsageError, match=r"no fault 'unknown_segment' for orders; there are: .*orphan_customers"):
        make_company().add_fault("orders", "unknown_segment")
    with pytest.raises(UsageError, match="no dataset 'invoices'; there are: orders, customers"):
        make_company().add_fault("invoices", "extra_column")


def test_a_fault_added_twice_is_one_fault() -> None:
    company = make_company(2)
    company.add_fault("orders", "text_amounts")
    company.add_fault("orders", "text_amounts")
    assert company.state.faults == (Fault("orders", 3, "text_amounts"),)


def test_state_survives_json_and_brings_the_same_company_back() -> None:
    company = make_company(4)
    company.add_fault("orders", "negative_amounts")
    company.advance()
    state = CompanyState.from_json(json.loads(json.dumps(company.state.to_json())))
    assert state == company.state
    again = Company.from_state(state)
    assert again.now == START + 5 * TICK
    assert all_changes(again, "orders") == all_changes(company, "orders")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"start": datetime(2021, 1, 1)}, "need a time zone"),  # noqa: DTZ001
        ({"now": START + TICK / 2}, "now must be start"),
        ({"now": START - TICK}, "now must be start"),
        ({"orders_per_tick": 0}, "a company needs"),
        ({"customers": 0}, "a company needs"),
        ({"seed": -1}, "a company needs"),
    ],
)
def test_a_state_that_cannot_be_is_refused(wrong: dict[str, Any], message: str) -> None:
    right: dict[str, Any] = {"seed": 7, "start": START, "now": START, "orders_per_tick": 1, "customers": 1}
    CompanyState(**right)
    with pytest.raises(UsageError, match=message):
        CompanyState(**{**right, **wrong})


def test_time_does_not_go_backwards() -> None:
    with pytest.raises(UsageError, match="time moves forward only"):
        make_company().advance(0)


def test_a_start_in_a_zone_with_summer_time_counts_real_minutes() -> None:
    start = datetime(2021, 3, 28, 1, 55, tzinfo=ZoneInfo("Europe/Berlin"))  # 5 minutes before the clock jumps
    company = Company(7, start, 5, 5)
    company.advance(3)
    assert stamp(company.now) == "2021-03-28T01:10:00.000000Z"
    assert company.state.tick == 3
