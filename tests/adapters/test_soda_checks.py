"""Contracts asked of small relations, by Soda itself: outcomes, sentences, exact rows."""

import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from dartifact.adapters.contracts import measures, soda_log
from dartifact.adapters.contracts import soda as soda_checks
from dartifact.adapters.contracts.soda import check_contract, load_contract, parse_contract
from dartifact.adapters.tables.batch_files import add_system_columns
from dartifact.adapters.tables.batches import build_batch
from dartifact.domain.checks import Gate, Outcome, Report, Result, VerdictKind, judge
from dartifact.domain.marks import mark, show_values

ROOT = Path(__file__).parents[2]
PATH = Path("checks/things.yml")
HEAD = "dataset: lake/main/things\ncolumns:\n"
COLUMNS = """
  - {name: id, data_type: bigint}
  - {name: name, data_type: varchar}
  - {name: price, data_type: "decimal(12,2)"}
"""


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("CREATE TABLE things (id BIGINT, name VARCHAR, price DECIMAL(12,2))")
        yield connection


def fill(con: duckdb.DuckDBPyConnection, *rows: tuple[Any, ...]) -> None:
    con.executemany("INSERT INTO things VALUES (?, ?, ?)", [list(row) for row in rows])


def ask(
    con: duckdb.DuckDBPyConnection, *, column: str = "", checks: str = "", relation: str = "things", more: str = ""
) -> dict[str, Result]:
    """Ask about one check on `price` and/or some on the dataset; results by check id."""
    text = HEAD + (COLUMNS.rstrip("}\n") + f", checks: [{column}]}}\n" if column else COLUMNS)
    text += (f"checks: [{checks}]\n" if checks else "") + more
    return {result.check: result for result in check_contract(con, parse_contract(text, PATH), relation)}


def rows_found(con: duckdb.DuckDBPyConnection, result: Result, relation: str = "things") -> set[int]:
    """Use a condition the way a gate does, on a relation of another name; its count has to be the exact one."""
    con.execute(f"CREATE OR REPLACE TEMP VIEW elsewhere AS FROM {relation}")
    found = con.execute(f"SELECT id FROM elsewhere WHERE {result.condition}").fetchall()
    assert len(found) == result.failing_rows
    negated = con.execute(f"SELECT count(*) FROM elsewhere WHERE ({result.condition}) IS NOT TRUE").fetchall()
    total = con.execute("SELECT count(*) FROM elsewhere").fetchall()
    assert negated[0][0] + len(found) == total[0][0]
    return {row[0] for row in found}


# kinds of checks: pass, warn, fail


def test_missing_values_fail_with_the_rows_that_lack_them(con: duckdb.DuckDBPyConnection) -> None:
    fill(con, (1, "a", 5), (2, "b", None), (3, "c", None))
    result = ask(con, column="{missing: }")["things.price.missing"]
    assert result == Result(
        "things.price.missing",
        "things",
        Outcome.FAILED,
        "things.price: 2 of 3 rows are null (allowed: 0)",
        column="price",
        measured=2.0,
        threshold="0",
        failing_rows=2,
        condition='("price" IS NULL)',
    )
    assert rows_found(con, result) == {2, 3}


def test_missing_values_within_the_threshold_pass_and_are_still_found(con: duckdb.DuckDBPyConnection) -> None:
    fill(con, *((i, "a", None if i == 4 else 5) for i in range(1, 11)))
    column = "{missing: {threshold: {metric: percent, must_be_less_than_or_equal: 10}}}"
    result = ask(con, column=column)["things.price.missing"]
    assert result.outcome is Outcome.PASSED
    assert result.message == "things.price: 10 % of 10 rows (1) are null (allowed: at most 10 %)"
    assert (result.measured, result.threshold) == (10.0, "at most 10 %")
    assert rows_found(con, result) == {4}


@pytest.mark.parametrize(
    ("missing", "outcome"), [(0, Outcome.PASSED), (1, Outcome.WARNED), (2, Outcome.WARNED), (3, Outcome.FAILED)]
)
def test_two_levels_pass_warn_and_fail(con: duckdb.DuckDBPyConnection, missing: int, outcome: Outcome) -> None:
    fill(con, *((i, "a", None if i < missing else 5) for i in range(10)))
    column = "{missing: {threshold: {must_be_less_than: 3, additional: {level: warn, must_be: 0}}}}"
    result = ask(con, column=column)["things.price.missing"]
    assert result.outcome is outcome
    assert result.threshold == "less than 3; warns unless 0"


def test_warn_level_warns_and_never_fails(con: duckdb.DuckDBPyConnection) -> None:
    fill(con, (1, "a", None))
    result = ask(con, column="{missing: {threshold: {level: warn}}}")["things.price.missing"]
    assert result.outcome is Outcome.WARNED
    assert judge((result,)).kind is VerdictKind.PASS


@pytest.mark.parametrize(
    ("rule", "column", "bad", "words"),
    [
        ("valid_min: 0, valid_max: 100", "price", {1, 2}, "are not between 0 and 100"),
        ("valid_min: 0", "price", {1}, "is below 0"),
        ("valid_max: 100", "price", {2}, "is above 100"),
        ("valid_values: [a, it's]", "name", {3, 4}, "are not a or it's"),
        ("invalid_values: [a, bb]", "name", {1, 3}, "are a or bb"),
        ("valid_length: 1", "name", {2, 3, 4}, "are not 1 characters long"),
        ("valid_min_length: 2, valid_max_length: 3", "name", {1, 2, 4}, "shorter than 2 characters or longer than 3"),
        ("valid_format: {name: one letter, regex: '^[a-z]$'}", "name", {2, 3, 4}, "are not one letter"),
        (r"invalid_format: {name: a quote, regex: '''|\d'}", "name", {2, 4}, "are a quote"),
        ("valid_values: [a], filter: id > 2", "name", {3, 4}, "2 of 3 rows are not a (allowed: 0)"),
    ],
)
def test_invalid_values_are_counted_named_and_found(
    con: duckdb.DuckDBPyConnection, rule: str, column: str, bad: set[int], words: str
) -> None:
    fill(con, (1, "a", -1), (2, "it's", 101), (3, "bb", 100), (4, "four 4", 0), (5, None, None))
    text = HEAD + COLUMNS.replace(f"name: {column},", f"name: {column}, checks: [{{invalid: {{{rule}}}}}],")
    [_, result] = check_contract(con, parse_contract(text, PATH), "things")
    assert result.outcome is Outcome.FAILED
    assert words in show_values(result.message)
    assert rows_found(con, result) == bad


def test_duplicates_of_one_column_are_all_rows_that_share_a_value(con: duckdb.DuckDBPyConnection) -> None:
    fill(con, (1, "a", 5), (2, "b", 5), (3, "c", 5), (4, "d", "7.25"), (5, "e", "7.25"), (6, "f", 8), (7, "g", None))
    fill(con, (8, "h", None))
    result = ask(con, column="{duplicate: }")["things.price.duplicate"]
    assert result.outcome is Outcome.FAILED
    assert result.message == (
        "things.price: 3 of 6 rows repeat the price of an earlier row "
        "(5 rows involved; 2 rows with no price not counted; allowed: 0)"
    )
    assert result.measured == 3.0
    assert rows_found(con, result) == {1, 2, 3, 4, 5}


def test_duplicates_of_several_columns_take_null_for_a_value(con: duckdb.DuckDBPyConnection) -> None:
    fill(con, (1, "it's", 5), (2, "it's", 5), (3, None, 5), (4, None, 5), (5, "it's", 6), (6, None, None))
    result = ask(con, checks="{duplicate: {columns: [name, price]}}")["things.duplicate.name_price"]
    assert (
        result.message == "things: 2 of 5 rows repeat the name and price of an earlier row "
        "(4 rows involved; 1 row with neither name nor price not counted; allowed: 0)"
    )
    assert rows_found(con, result) == {1, 2, 3, 4}


def test_duplicates_outside_of_the_filter_do_not_count(con: duckdb.DuckDBPyConnection) -> None:
    fill(con, (1, "a", 5), (2, "b", 5), (3, "c", 7), (4, "d", 7), (5, "e", 5))
    result = ask(con, column="{duplicate: {filter: id > 2}}")["things.price.duplicate"]
    assert result.measured == 1.0
    assert rows_found(con, result) == {3, 4}


def test_unique_values_pass_without_a_condition(con: duckdb.DuckDBPyConnection) -> None:
    fill(con, (1, "a", 5), (2, "b", 6))
    result = ask(con, column="{duplicate: }")["things.price.duplicate"]
    assert (result.outcome, result.failing_rows, result.condition) == (Outcome.PASSED, 0, None)


def test_too_many_duplicates_are_counted_but_not_listed(
    con: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measures, "MOST_KEYS", 1)
    fill(con, (1, "a", 5), (2, "b", 5), (3, "c", 7), (4, "d", 7))
    result = ask(con, column="{duplicate: }")["things.price.duplicate"]
    assert (result.outcome, result.failing_rows, result.condition) == (Outcome.FAILED, 4, None)


def test_failed_rows_by_expression_are_found(con: duckdb.DuckDBPyConnection) -> None:
    fill(con, (1, "a", 5), (2, "b", 5), (3, "c", 5), (4, None, None))
    checks = "{failed_rows: {name: No b or c, expression: name = 'b' or name = 'c'}}"
    result = ask(con, checks=checks)["things.failed_rows.no_b_or_c"]
    assert result.message == "things: 2 of 4 rows break the rule 'No b or c' (allowed: 0)"
    assert rows_found(con, result) == {2, 3}


def test_failed_rows_by_query_are_counted_without_a_condition(con: duckdb.DuckDBPyConnection) -> None:
    fill(con, (1, "a", 5), (2, "b", 6))
    checks = "{failed_rows: {name: dear, query: select * from things where price > 5}}"
    result = ask(con, checks=checks)["things.failed_rows.dear"]
    assert result.message == "things: 1 row breaks the rule 'dear' (allowed: 0)"
    assert (result.outcome, result.failing_rows, result.condition) == (Outcome.FAILED, 1, None)


@pytest.mark.parametrize(("least", "outcome"), [(2, Outcome.PASSED), (3, Outcome.FAILED)])
def test_row_count_is_a_number_and_not_about_rows(con: duckdb.DuckDBPyConnection, least: int, outcome: Outcome) -> None:
    fill(con, (1, "a", 5), (2, "b", 5))
    checks = f"{{row_count: {{threshold: {{must_be_greater_than_or_equal: {least}}}}}}}"
    result = ask(con, checks=checks)["things.row_count"]
    assert result.outcome is outcome
    assert result.message == f"things: 2 rows (required: at least {least})"
    assert (result.measured, result.failing_rows, result.condition) == (2.0, 0, None)


def test_aggregate_and_metric_state_their_number(con: duckdb.DuckDBPyConnection) -> None:
    fill(con, (1, "a", 5), (2, "b", "5.50"))
    results = ask(
        con,
        column="{aggregate: {function: avg, threshold: {must_be_between: {greater_than: 0, less_than: 5}}}}",
        checks="{metric: {name: spread, expression: max(price) - min(price), threshold: {must_be_not_between: "
        "{greater_than_or_equal: 1, less_than: 0.25}}}}",
    )
    average, spread = results["things.price.aggregate.avg"], results["things.metric.spread"]
    assert show_values(average.message) == "things.price: avg is 5.25 (required: more than 0 and less than 5)"
    assert spread.message == "things: spread is 0.5 (required: at least 1 or less than 0.25)"
    assert {average.outcome, spread.outcome} == {Outcome.FAILED}


def test_freshness_states_the_age(con: duckdb.DuckDBPyConnection) -> None:
    con.execute("CREATE TABLE events AS SELECT now() - INTERVAL 5 DAY AS at")
    text = "dataset: lake/main/events\ncolumns: [{name: at, data_type: timestamp with time zone}]\n"
    text += "checks: [{freshness: {column: at, threshold: {unit: day, must_be_less_than: 3}}}]\n"
    [_, result] = check_contract(con, parse_contract(text, Path("events.yml")), "events")
    assert result.outcome is Outcome.FAILED
    assert result.message == "events.at: the newest value is 5 days old (required: less than 3 days)"


def ask_events(con: duckdb.DuckDBPyConnection, threshold: str, kind: str = "TIMESTAMPTZ") -> Result:
    data_type = "date" if kind == "DATE" else "timestamp with time zone"
    text = f"dataset: lake/main/events\ncolumns: [{{name: at, data_type: {data_type}}}]\n"
    text += f"checks: [{{freshness: {{column: at, threshold: {{{threshold}}}}}}}]\n"
    [_, result] = check_contract(con, parse_contract(text, Path("events.yml")), "events")
    return result


def test_one_row_from_the_future_does_not_make_a_stale_table_fresh(con: duckdb.DuckDBPyConnection) -> None:
    con.execute("CREATE TABLE events AS SELECT now() - INTERVAL 5 HOUR AS at UNION ALL SELECT now() + INTERVAL 3 HOUR")
    result = ask_events(con, "must_be_less_than: 2")
    assert (result.outcome, result.measured, result.failing_rows) == (Outcome.FAILED, 5.0, 1)
    assert result.message.startswith(
        "events.at: the newest value up to now is 5 hours old (required: less than 2 hours); "
        "1 of 2 rows is ahead of now, by up to "
    )
    ahead = float(result.message.split()[-2])
    assert 2.9 < ahead <= 3
    [[found]] = con.execute(f"SELECT count(*) FROM events WHERE {result.condition}").fetchall()
    assert found == 1


def test_rows_from_the_future_fail_a_fresh_table_and_warn_where_only_that_is_asked(
    con: duckdb.DuckDBPyConnection,
) -> None:
    con.execute("CREATE TABLE events AS SELECT now() AS at UNION ALL SELECT now() + INTERVAL 1 DAY")
    assert ask_events(con, "must_be_less_than: 2").outcome is Outcome.FAILED
    assert ask_events(con, "must_be_less_than: 2, level: warn").outcome is Outcome.WARNED
    con.execute('DELETE FROM events WHERE "at" <= now()')
    result = ask_events(con, "must_be_less_than: 2")
    assert (result.outcome, result.measured) == (Outcome.FAILED, None)
    assert result.message.startswith(
        "events.at: there is no value up to now in 1 row (required: less than 2 hours); 1 of 1 row is ahead of now"
    )


@pytest.mark.parametrize(("minutes", "outcome"), [(4, Outcome.WARNED), (6, Outcome.FAILED)])
def test_clock_of_a_source_is_believed_five_minutes_ahead(
    con: duckdb.DuckDBPyConnection, minutes: int, outcome: Outcome
) -> None:
    con.execute(f"CREATE TABLE events AS SELECT now() + INTERVAL {minutes} MINUTE AS at")
    result = ask_events(con, "must_be_less_than: 2, unit: minute")
    assert (result.outcome, result.failing_rows) == (outcome, 1)
    con.execute("INSERT INTO events SELECT now() - INTERVAL 1 HOUR")
    result = ask_events(con, "must_be_less_than: 2, unit: minute")
    assert (result.outcome, result.measured) == (Outcome.FAILED, 60.0)


@pytest.mark.parametrize(("days", "outcome"), [(0, Outcome.PASSED), (2, Outcome.FAILED)])
def test_day_of_today_is_not_ahead(con: duckdb.DuckDBPyConnection, days: int, outcome: Outcome) -> None:
    con.execute(f"CREATE TABLE events AS SELECT current_date + {days} AS at")
    result = ask_events(con, "must_be_less_than: 2, unit: day", "DATE")
    assert (result.outcome, result.failing_rows) == (outcome, 1 if days else 0)


def test_age_of_nulls_is_none(con: duckdb.DuckDBPyConnection) -> None:
    con.execute("CREATE TABLE events AS SELECT NULL::TIMESTAMPTZ AS at UNION ALL SELECT NULL")
    result = ask_events(con, "must_be_less_than: 2")
    assert (result.outcome, result.measured, result.condition) == (Outcome.FAILED, None, None)
    assert result.message == "events.at: all of 2 rows are null: no age (required: less than 2 hours)"
    assert ask_events(con, "must_be_less_than: 2, level: warn").outcome is Outcome.WARNED


EACH_KIND = """
dataset: lake/main/things
columns:
  - {{name: id, data_type: bigint}}
  - name: name
    data_type: varchar
    checks:
      - missing: {own}
      - invalid: {{valid_values: [a, b] {more}}}
      - duplicate: {own}
  - name: price
    data_type: "decimal(12,2)"
    checks:
      - aggregate: {{function: sum, threshold: {{must_be: 1}} {more}}}
checks:
  - row_count: {{threshold: {{must_be: 1}} {more}}}
  - duplicate: {{columns: [name, price] {more}}}
{free}
"""
FREE = """
  - failed_rows: {name: cheap, expression: price < 8 or price > 90}
  - metric: {name: spread, expression: max(price) - min(price), threshold: {must_be: 1}}
"""


@pytest.mark.parametrize("where", ["price > 5 or id = 1", "name = 'b'", "price < 9", "name IS NULL or id > 4"])
@pytest.mark.parametrize("on_checks", [False, True])
def test_filter_reaches_every_kind_of_check(con: duckdb.DuckDBPyConnection, where: str, on_checks: bool) -> None:
    fill(con, (1, "a", 1), (2, "b", 7), (3, "b", 7), (4, None, 9), (5, "c", 100), (6, "b", None), (7, "a", 1))
    con.execute(f"CREATE VIEW filtered AS SELECT * FROM things WHERE {where}")
    plain = EACH_KIND.format(own="", more="", free="" if on_checks else FREE)
    if on_checks:
        text = EACH_KIND.format(own=f"{{filter: {where}}}", more=f", filter: {where}", free="")
    else:
        text = plain + f"filter: {where}\n"
    expected = {each.check: each for each in check_contract(con, parse_contract(plain, PATH), "filtered")}
    found = {each.check: each for each in check_contract(con, parse_contract(text, PATH), "things")}
    assert len(found) == 7 if on_checks else 9
    for name, result in expected.items():
        assert (found[name].message, found[name].measured) == (result.message, result.measured)
        if result.condition:
            assert rows_found(con, found[name]) == rows_found(con, result, "filtered")


def test_filter_reaches_the_age(con: duckdb.DuckDBPyConnection) -> None:
    con.execute("CREATE TABLE events AS SELECT now() - INTERVAL 5 HOUR AS at UNION ALL SELECT now()")
    for place in ("contract", "check"):
        where = "filter: '\"at\" < now() - INTERVAL 1 HOUR'"
        text = "dataset: lake/main/events\ncolumns: [{name: at, data_type: timestamp with time zone}]\nchecks:\n"
        text += "  - freshness:\n      column: at\n      threshold: {must_be_less_than: 2}\n"
        text += f"      {where}\n" if place == "check" else f"{where}\n"
        [_, result] = check_contract(con, parse_contract(text, Path("events.yml")), "events")
        assert (result.outcome, result.measured) == (Outcome.FAILED, 5.0), place


def test_percent_of_duplicates_is_of_the_rows_that_have_a_key(con: duckdb.DuckDBPyConnection) -> None:
    fill(con, (1, "x", 1), (2, "x", 1), (3, "y", 1), (4, "z", 2), (5, None, None), (6, None, None))
    threshold = "threshold: {metric: percent, must_be_less_than: 10}"
    results = ask(
        con, column=f"{{duplicate: {{{threshold}}}}}", checks=f"{{duplicate: {{columns: [name, price], {threshold}}}}}"
    )
    several, one = results["things.duplicate.name_price"], results["things.price.duplicate"]
    assert several.message == (
        "things: 25 % of 4 rows (1) repeat the name and price of an earlier row "
        "(2 rows involved; 2 rows with neither name nor price not counted; allowed: less than 10 %)"
    )
    assert one.message == (
        "things.price: 50 % of 4 rows (2) repeat the price of an earlier row "
        "(3 rows involved; 2 rows with no price not counted; allowed: less than 10 %)"
    )
    assert (several.measured, one.measured) == (25.0, 50.0)
    assert rows_found(con, several) == {1, 2}


def test_keys_of_nothing_but_nulls_repeat_nothing_in_one_column_as_in_several(con: duckdb.DuckDBPyConnection) -> None:
    fill(con, (1, None, None), (2, None, None), (3, None, None))
    results = ask(con, column="{duplicate: }", checks="{duplicate: {columns: [name, price]}}")
    for name in ("things.price.duplicate", "things.duplicate.name_price"):
        assert (results[name].outcome, results[name].measured, results[name].condition) == (Outcome.PASSED, 0.0, None)
        assert "0 of 0 rows repeat" in results[name].message
        assert "3 rows with n" in results[name].message


def test_keys_are_compared_column_by_column(con: duckdb.DuckDBPyConnection) -> None:
    con.execute("CREATE TABLE pairs AS SELECT * FROM (VALUES ('a''||''b', 'c'), ('a', 'b''||''c')) t(x, y)")
    text = "dataset: lake/main/pairs\ncolumns: [{name: x, data_type: varchar}, {name: y, data_type: varchar}]\n"
    contract = parse_contract(text + "checks: [{duplicate: {columns: [x, y]}}]\n", Path("pairs.yml"))
    assert check_contract(con, contract, "pairs")[1].outcome is Outcome.PASSED


@pytest.mark.parametrize(
    ("data_type", "rule", "value", "outcome", "words"),
    [
        ("decimal(38,2)", "valid_max: 12345678901234567.89", "12345678901234567.90", "failed", "12345678901234567.89"),
        ("decimal(38,2)", "valid_max: 12345678901234567.89", "12345678901234567.89", "passed", "12345678901234567.89"),
        ("decimal(38,2)", "valid_min: -12345678901234567.89", "-12345678901234567.90", "failed", "below -123456789"),
        ("decimal(38,2)", "valid_max: 12345678901234567.899", "12345678901234567.89", "passed", "4567.899"),
        ("decimal(38,2)", "valid_max: 12345678901234567.899", "12345678901234567.90", "failed", "4567.899"),
        ("decimal(38,2)", "valid_min: 0.001", "0.00", "failed", "below 0.001"),
        ("decimal(38,2)", "valid_min: 0.001", "0.01", "passed", "below 0.001"),
        (
            "decimal(38,20)",
            "valid_max: 0.00000000000000000001",
            "0.00000000000000000002",
            "failed",
            "0.00000000000000000001",
        ),
        ("decimal(38,0)", "valid_max: 1.0e+20", "100000000000000000001", "failed", "above 100000000000000000000"),
        ("bigint", "valid_max: 9007199254740992", "9007199254740993", "failed", "above 9007199254740992"),
        ("bigint", "valid_max: 9007199254740993.5", "9007199254740993", "passed", "9007199254740993.5"),
        ("decimal(38,2)", "valid_values: [12345678901234567.89]", "12345678901234567.90", "failed", "4567.89"),
        ("decimal(38,2)", "invalid_values: [12345678901234567.89]", "12345678901234567.90", "passed", "4567.89"),
        ("double", "valid_max: 0.1", "0.1", "passed", "above 0.1"),
    ],
)
def test_bounds_are_as_exact_as_they_are_written(
    con: duckdb.DuckDBPyConnection, data_type: str, rule: str, value: str, outcome: str, words: str
) -> None:
    con.execute(f"CREATE TABLE sums AS SELECT '{value}'::{data_type} AS x")
    text = (
        f"dataset: lake/main/sums\ncolumns: [{{name: x, data_type: '{data_type}', checks: [{{invalid: {{{rule}}}}}]}}]"
    )
    [_, result] = check_contract(con, parse_contract(text, Path("sums.yml")), "sums")
    assert result.outcome.value == outcome, result.message
    assert words in result.message


@pytest.mark.parametrize(("value", "outcome"), [("12345678901234567.89", "passed"), ("12345678901234567.90", "failed")])
def test_limits_of_sums_are_as_exact_as_they_are_written(
    con: duckdb.DuckDBPyConnection, value: str, outcome: str
) -> None:
    con.execute(f"CREATE TABLE sums AS SELECT '{value}'::DECIMAL(38,2) AS x")
    limit = "threshold: {must_be_less_than_or_equal: 12345678901234567.89}"
    checks = f"checks: [{{aggregate: {{function: sum, {limit}}}}}]"
    text = f"dataset: lake/main/sums\ncolumns: [{{name: x, data_type: 'decimal(38,2)', {checks}}}]\n"
    text += f"checks: [{{metric: {{name: top, expression: max(x), {limit}}}}}]\n"
    results = check_contract(con, parse_contract(text, Path("sums.yml")), "sums")[1:]
    assert [result.outcome.value for result in results] == [outcome, outcome]
    shown = "12,345,678,901,234,567.9" if outcome == "failed" else "12,345,678,901,234,567.89"
    for result in results:
        assert f"is {shown} (required: at most 12,345,678,901,234,567.89)" in show_values(result.message)
        assert isinstance(result.measured, float)


def test_small_share_is_not_told_as_none(con: duckdb.DuckDBPyConnection) -> None:
    con.execute("INSERT INTO things SELECT i, 'a', CASE WHEN i > 1 THEN 5 END FROM range(1, 3000001) t(i)")
    result = ask(con, column="{missing: {threshold: {metric: percent, must_be: 0}}}")["things.price.missing"]
    assert result.message == "things.price: 0.00003 % of 3,000,000 rows (1) are null (allowed: 0 %)"


def test_null_and_empty_text_are_told_apart(con: duckdb.DuckDBPyConnection) -> None:
    fill(con, (1, None, 5), (2, "", 5), (3, " ", 5), (4, "n/a", 5))
    rules = (
        ("missing: ", {1}, "1 of 4 rows is null (allowed: 0)"),
        ("missing: {missing_values: ['']}", {1, 2}, "2 of 4 rows are null or empty text (allowed: 0)"),
        (
            "missing: {missing_values: ['', ' ', n/a], missing_format: {name: blank, regex: '^ *$'}}",
            {1, 2, 3, 4},
            "4 of 4 rows are null, empty text, ' ', n/a or blank (allowed: 0)",
        ),
        ("invalid: {valid_values: ['', n/a]}", {3}, "1 of 4 rows is not empty text or n/a (allowed: 0)"),
        ("invalid: {invalid_values: ['']}", {2}, "1 of 4 rows is empty text (allowed: 0)"),
        ("invalid: {valid_min_length: 1}", {2}, "1 of 4 rows is shorter than 1 characters (allowed: 0)"),
    )
    for rule, rows, words in rules:
        text = HEAD + COLUMNS.replace("name: name,", f"name: name, checks: [{{{rule}}}],")
        [_, result] = check_contract(con, parse_contract(text, PATH), "things")
        assert words in result.message
        assert rows_found(con, result) == rows


@pytest.mark.parametrize(
    ("data_type", "value", "words"),
    [
        ("timestamp with time zone", "9999-12-31T23:59:59-05:00", "are, in UTC, not between the years 1 and 9999"),
        ("timestamp with time zone", "0001-01-01T00:00:00+05:00", "are, in UTC, not between the years 1 and 9999"),
        ("timestamp with time zone", "2024-01-01T10:00:00+25:00", "carry an offset that no time zone has"),
        ("timestamp with time zone", "2024-01-01T10:00:00-1060", "carry an offset that no time zone has"),
        ("date", "0000-01-01", "are before the year 1"),
        ("double", "1e309", "are not double"),
        ("double", Decimal("-1E+309"), "are not double"),
        ("double", "1e-400", "are not double"),
        ("bigint", "", "are not bigint"),
    ],
)
def test_value_at_the_edge_is_named(con: duckdb.DuckDBPyConnection, data_type: str, value: Any, words: str) -> None:
    text = f"dataset: lake/main/edges\ncolumns: [{{name: x, data_type: {data_type}}}]\nchecks: [{{row_count: }}]\n"
    contract = parse_contract(text, Path("edges.yml"))
    con.register("edges", build_batch([{"x": value}, {"x": None}], contract.columns, zone=None))
    result = check_contract(con, contract, "edges")[0]
    shown = repr(str(value)) if value else "empty text"
    assert show_values(result.message) == f"edges.x: 1 of 1 values {words}, e.g. {shown}"
    assert mark(shown) in result.message
    assert (result.outcome, result.failing_rows) == (Outcome.FAILED, 1)
    [[found]] = con.execute(f"SELECT count(*) FROM edges WHERE {result.condition}").fetchall()
    assert found == 1


def test_filter_of_the_contract_is_part_of_the_conditions(con: duckdb.DuckDBPyConnection) -> None:
    fill(con, (1, "a", None), (2, "b", None), (3, "b", 5), (4, "b", 5), (5, "a", 5))
    results = ask(con, column="{missing: }, {duplicate: }", checks="{row_count: }", more="filter: name = 'b'\n")
    assert rows_found(con, results["things.price.missing"]) == {2}
    assert rows_found(con, results["things.price.duplicate"]) == {3, 4}
    assert results["things.row_count"].measured == 3.0


# rows and relations


def test_deleted_rows_are_not_asked_about(con: duckdb.DuckDBPyConnection) -> None:
    fill(con, (1, "a", None), (2, "b", None), (3, "c", 5), (4, "d", 5))
    con.execute("CREATE VIEW batch AS SELECT *, nullif(id, 2) IS NULL AS _deleted FROM things")
    results = ask(con, column="{missing: }, {duplicate: }", checks="{row_count: }", relation="batch")
    assert rows_found(con, results["things.price.missing"], "batch") == {1}
    assert rows_found(con, results["things.price.duplicate"], "batch") == {3, 4}
    assert results["things.row_count"].measured == 3.0


def test_relation_may_have_the_datasets_name_and_is_left_alone(con: duckdb.DuckDBPyConnection) -> None:
    fill(con, (1, "a", 5))
    before = con.execute("SELECT * FROM duckdb_tables()").fetchall(), con.execute("FROM duckdb_views()").fetchall()
    ask(con, checks="{row_count: }", relation="main.things")
    after = con.execute("SELECT * FROM duckdb_tables()").fetchall(), con.execute("FROM duckdb_views()").fetchall()
    assert before == after


def test_empty_batch_is_skipped_but_its_row_count_is_answered(con: duckdb.DuckDBPyConnection) -> None:
    checks = "{row_count: }, {row_count: {qualifier: few, threshold: {must_be_less_than: 5}}}"
    checks += ", {row_count: {qualifier: soft, threshold: {level: warn}}}"
    results = ask(con, column="{missing: }", checks=checks)
    assert results["things.price.missing"].outcome is Outcome.SKIPPED
    assert results["things.price.missing"].message == "things.price: missing not checked: the batch is empty"
    assert results["things.row_count"].outcome is Outcome.FAILED
    assert results["things.row_count"].message == "things: 0 rows (required: more than 0)"
    assert results["things.row_count.few"].outcome is Outcome.PASSED
    assert results["things.row_count.soft"].outcome is Outcome.WARNED


def test_batch_of_nothing_but_deletions_is_not_called_empty(con: duckdb.DuckDBPyConnection) -> None:
    fill(con, (1, None, None))
    con.execute("CREATE VIEW batch AS SELECT *, true AS _deleted FROM things")
    results = ask(con, column="{missing: }", checks="{row_count: }", relation="batch")
    assert [result.outcome for result in results.values()] == [Outcome.PASSED, Outcome.SKIPPED, Outcome.SKIPPED]
    assert "nothing but deletions" in show_values(results["things.row_count"].message)


# the schema


def test_schema_passes_with_and_without_system_columns(con: duckdb.DuckDBPyConnection) -> None:
    fill(con, (1, "a", 5))
    con.execute(
        "CREATE VIEW batch AS SELECT *, 'r' _run_id, 1 _seq, now() _extracted_at, false _deleted, 0 file_row_number "
        "FROM things"
    )
    for relation in ("things", "batch"):
        result = ask(con, checks="{row_count: }", relation=relation)["things.schema"]
        assert result.outcome is Outcome.PASSED
        assert result.message == "things: the 3 columns match the contract"


def test_each_fault_of_the_schema_is_a_result_and_the_rest_is_still_asked(con: duckdb.DuckDBPyConnection) -> None:
    fill(con, (1, "a", 5), (2, None, 5))
    con.execute("CREATE VIEW batch AS SELECT id::INTEGER AS id, name, 1 AS extra FROM things")
    text = HEAD + COLUMNS.replace("name: name,", "name: name, checks: [{missing: }],")
    text = text.replace("name: price,", "name: price, checks: [{missing: }],")
    text += "checks: [{row_count: }, {failed_rows: {name: cheap, expression: Price < 1}}, {duplicate: {columns: [id]}}]"
    results = {result.check: result for result in check_contract(con, parse_contract(text, PATH), "batch")}
    assert {name: result.outcome.value for name, result in results.items()} == {
        "things.schema.type.id": "failed",
        "things.schema.missing.price": "failed",
        "things.schema.unexpected.extra": "failed",
        "things.name.missing": "failed",
        "things.price.missing": "skipped",
        "things.row_count": "passed",
        "things.failed_rows.cheap": "skipped",
        "things.duplicate.id": "skipped",
    }
    assert results["things.schema.type.id"].message == "things.id: the column is integer, not bigint"
    assert results["things.schema.missing.price"].message == "things.price: the column is missing"
    assert results["things.schema.unexpected.extra"].message == (
        "things.extra: the contract does not have this column (integer)"
    )
    assert results["things.duplicate.id"].message == (
        "things: duplicate not checked: the column id is integer, not bigint"
    )
    assert results["things.name.missing"].failing_rows == 1


def test_names_are_compared_with_their_case(con: duckdb.DuckDBPyConnection) -> None:
    con.execute('CREATE VIEW batch AS SELECT id, name, price AS "Price" FROM things')
    names = set(ask(con, checks="{row_count: }", relation="batch"))
    assert {"things.schema.missing.price", "things.schema.unexpected.Price"} <= names


@pytest.mark.parametrize(
    ("data_type", "values", "bad", "words"),
    [
        ("decimal(12,2)", ["1.00", "abc", "1.005", None, "1e3", ""], {2, 3, 6}, "3 of 5 values are not decimal(12,2)"),
        ("bigint", ["1", "007", "5.5", "x", "-2"], {2, 3, 4}, "3 of 5 values are not bigint, e.g. '007'"),
        ("boolean", ["true", "yes", "false"], {2}, "1 of 3 values are not boolean, e.g. 'yes'"),
        ("date", ["2021-01-01", "2021-1-1", "2021-02-30"], {2, 3}, "2 of 3 values are not date"),
        (
            "timestamp with time zone",
            ["2021-01-01T00:00:00", "2021-01-01T00:00:00Z", "soon"],
            {3},
            "1 of 3 values are not timestamp with time zone, e.g. 'soon'",
        ),
        (
            "timestamp with time zone",
            ["2021-01-01T00:00:00", "2021-01-01T00:00:00Z"],
            {1},
            "1 of 2 values carry no time zone, e.g. '2021-01-01T00:00:00'",
        ),
    ],
)
def test_texts_that_do_not_fit_are_counted_and_found(
    con: duckdb.DuckDBPyConnection, data_type: str, values: list[str | None], bad: set[int], words: str
) -> None:
    con.execute("CREATE TABLE texts (id BIGINT, x VARCHAR)")
    con.executemany("INSERT INTO texts VALUES (?, ?)", [[i, value] for i, value in enumerate(values, start=1)])
    text = (
        f"dataset: lake/main/texts\ncolumns: [{{name: id, data_type: bigint}}, {{name: x, data_type: '{data_type}'}}]\n"
    )
    contract = parse_contract(text + "checks: [{row_count: }]\n", Path("texts.yml"))
    result = check_contract(con, contract, "texts")[0]
    assert (result.check, result.outcome) == ("texts.schema.type.x", Outcome.FAILED)
    assert words in show_values(result.message)
    assert rows_found(con, result, "texts") == bad


def test_text_column_whose_values_all_fit_is_still_the_wrong_type(con: duckdb.DuckDBPyConnection) -> None:
    con.execute("CREATE VIEW batch AS SELECT id, name, '1.00' AS price FROM things UNION ALL SELECT 1, 'a', '2.00'")
    result = ask(con, checks="{row_count: }", relation="batch")["things.schema.type.price"]
    assert result.message == "things.price: the column is varchar, not decimal(12,2)"
    assert (result.failing_rows, result.condition) == (0, None)


# what goes wrong


def test_one_check_that_cannot_be_asked_does_not_silence_the_others(con: duckdb.DuckDBPyConnection) -> None:
    fill(con, (1, "a", None), (2, "b", 5))
    checks = "{row_count: }, {failed_rows: {name: typo, expression: prize > 3}}"
    results = ask(con, column="{missing: }", checks=checks)
    assert {name: result.outcome.value for name, result in results.items()} == {
        "things.schema": "passed",
        "things.price.missing": "failed",
        "things.row_count": "passed",
        "things.failed_rows.typo": "errored",
    }
    message = show_values(results["things.failed_rows.typo"].message)
    assert message.startswith('things: failed_rows could not be checked: Binder Error: Referenced column "prize"')
    assert "\n" not in message


def test_values_that_break_an_expression_make_an_errored_result(con: duckdb.DuckDBPyConnection) -> None:
    fill(con, (1, "a", 5))
    results = ask(con, checks="{failed_rows: {name: number, expression: name::INTEGER > 3}}")
    result = results["things.failed_rows.number"]
    assert result.outcome is Outcome.ERRORED
    assert "Conversion Error: Could not convert string 'a' to INT32" in show_values(result.message)
    assert judge(tuple(results.values())).kind is VerdictKind.HOLD


def test_aggregate_that_is_no_number_is_errored(con: duckdb.DuckDBPyConnection) -> None:
    fill(con, (1, "a", None))
    column = "{aggregate: {function: avg, threshold: {must_be: 5}}}"
    assert ask(con, column=column)["things.price.aggregate.avg"].outcome is Outcome.ERRORED


def test_exception_inside_soda_is_one_errored_result(
    con: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(*_: Any, **__: Any) -> None:
        raise RuntimeError("no more soda")

    fill(con, (1, "a", 5))
    ask(con, checks="{row_count: }")
    monkeypatch.setattr(soda_checks._soda(), "execute", explode)
    results = ask(con, column="{missing: }", checks="{row_count: }")
    assert {name: result.outcome.value for name, result in results.items()} == {
        "things.schema": "passed",
        "things.contract": "errored",
    }
    assert show_values(results["things.contract"].message) == "things: could not be checked: RuntimeError: no more soda"


def test_no_answers_to_a_contract_with_checks_is_errored(
    con: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(con, (1, "a", 5))
    monkeypatch.setattr(soda_checks, "_soda_document", lambda *_: {"dataset": "lake/main/things", "columns": []})
    results = ask(con, checks="{row_count: }")
    assert results["things.contract"].outcome is Outcome.ERRORED
    assert "answered none of its checks" in show_values(results["things.contract"].message)


def test_a_batch_is_seen_by_its_own_checks_only(con: duckdb.DuckDBPyConnection) -> None:
    fill(con, (1, "a", 5))
    other = "dataset: lake/main/others\ncolumns:\n" + COLUMNS
    checks = "checks: [{row_count: }, {failed_rows: {name: borrowed, query: select * from things}}]\n"
    assert ask(con, checks="{row_count: }")["things.row_count"].outcome is Outcome.PASSED
    results = check_contract(con, parse_contract(other + checks, Path("checks/others.yml")), "things")
    found = {result.check: result for result in results}
    assert found["others.row_count"].outcome is Outcome.PASSED
    assert found["others.failed_rows.borrowed"].outcome is Outcome.ERRORED
    assert "Table with name things does not exist" in show_values(found["others.failed_rows.borrowed"].message)


def test_values_reach_soda_as_the_contract_means_them(con: duckdb.DuckDBPyConnection) -> None:
    # text to us, and to YAML 1.2, in which Soda reads, a number in octal
    fill(con, (1, "0o14", 5), (2, "12", 5))
    text = HEAD + COLUMNS.replace("varchar}", "varchar, checks: [{invalid: {valid_values: [0o14]}}]}")
    results = {each.check: each for each in check_contract(con, parse_contract(text, PATH), "things")}
    assert rows_found(con, results["things.name.invalid"]) == {2}


def test_relation_that_cannot_be_read_is_errored(con: duckdb.DuckDBPyConnection) -> None:
    [result] = ask(con, checks="{row_count: }", relation="nowhere").values()
    assert (result.check, result.outcome) == ("things.contract", Outcome.ERRORED)
    assert "Catalog Error: Table with name nowhere does not exist" in show_values(result.message)


# manners


def test_results_carry_the_run_and_survive_as_json(con: duckdb.DuckDBPyConnection) -> None:
    fill(con, (1, "a", None), (2, "b", 5))
    contract = parse_contract(HEAD + COLUMNS + "checks: [{row_count: }]\n", PATH)
    results = check_contract(con, contract, "things", run_id="things-dan-1")
    assert {result.run_id for result in results} == {"things-dan-1"}
    report = Report(Gate.LOCAL, "c", "m", results)
    assert Report.from_json(report.to_json()) == report
    again = Report(Gate.LOCAL, "c", "m", check_contract(con, contract, "things", run_id="things-dan-1"))
    assert again.digest == report.digest


def test_soda_writes_nothing_and_leaves_logging_as_it_was() -> None:
    code = """
import logging, warnings
warnings.simplefilter("error")
import duckdb
from pathlib import Path
from dartifact.adapters.contracts.soda import check_contract, parse_contract
text = "dataset: lake/main/t\\ncolumns: [{name: a, data_type: integer}]\\nchecks: [{row_count: }, " \\
       "{failed_rows: {name: x, expression: nope}}]"
results = check_contract(duckdb.connect(), parse_contract(text, Path("t.yml")), "(SELECT 1 AS a)")
assert [r.outcome.value for r in results] == ["passed", "passed", "errored"], results
assert logging.root.handlers == [] and logging.root.filters == [] and logging.getLogger("soda").filters == []
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_other_threads_keep_their_log_records_while_soda_runs(
    con: duckdb.DuckDBPyConnection, caplog: pytest.LogCaptureFixture
) -> None:
    fill(con, (1, "a", 5))
    with soda_log.quiet():
        logging.getLogger().warning("dropped: this thread is Soda's")
        other = threading.Thread(target=lambda: logging.getLogger().warning("kept"))
        other.start()
        other.join()
    assert [record.getMessage() for record in caplog.records] == ["kept"]


def test_threads_can_ask_at_the_same_time() -> None:
    contract = parse_contract(HEAD + COLUMNS + "checks: [{row_count: }]\n", PATH)
    answers: dict[int, float | None] = {}

    def work(count: int) -> None:
        with duckdb.connect() as own:
            relation = f"(SELECT i AS id, 'a' AS name, 1::DECIMAL(12,2) AS price FROM range({count}) t(i))"
            answers[count] = check_contract(own, contract, relation)[-1].measured

    threads = [threading.Thread(target=work, args=(count,)) for count in range(1, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {count: float(count) for count in range(1, 7)}


# the committed contracts, on batches as an ingestor builds them


def order(number: int, **changes: Any) -> dict[str, object]:
    row = {
        "order_id": number,
        "customer_id": "C000123",
        "status": "placed",
        "amount": "12.50",
        "currency": "EUR",
        "ordered_at": "2021-01-01T12:00:00Z",
        "updated_at": "2021-01-01T12:05:00Z",
    }
    return {**row, **changes}


def customer(number: int, **changes: Any) -> dict[str, object]:
    row = {
        "customer_id": f"C{number:06d}",
        "name": "Ada Adler",
        "email": "ada@example.com",
        "segment": "consumer",
        "country": "DE",
        "updated_at": "2021-01-01T12:00:00Z",
    }
    return {**row, **changes}


def ask_committed(file: str, rows: list[dict[str, object]]) -> dict[str, Result]:
    contract = load_contract(ROOT / "checks" / file)
    batch = build_batch(rows, contract.columns, zone=None)
    batch = add_system_columns(batch, run_id="r", seq=1, extracted_at=datetime(2021, 1, 1, tzinfo=UTC))
    with duckdb.connect() as own:
        own.register("batch", batch)
        results = {result.check: result for result in check_contract(own, contract, "batch")}
        for result in results.values():
            if result.condition:
                [[count]] = own.execute(f"SELECT count(*) FROM batch WHERE {result.condition}").fetchall()
                assert count == result.failing_rows, result.check
    return results


def not_passed(results: dict[str, Result]) -> dict[str, str]:
    return {name: result.outcome.value for name, result in results.items() if result.outcome is not Outcome.PASSED}


def test_good_orders_pass_also_when_all_amounts_are_a_hundred_times_too_small() -> None:
    rows = [order(i, amount=f"{i}.50") for i in range(1, 101)]
    assert not_passed(ask_committed("orders.yml", rows)) == {}
    rows = [order(i, amount=f"0.{i:02d}") for i in range(1, 100)]
    assert not_passed(ask_committed("orders.yml", rows)) == {}


@pytest.mark.parametrize(
    ("changes", "check"),
    [
        ({"customer_id": None}, "orders.customer_id.missing"),
        ({"customer_id": "123"}, "orders.customer_id.invalid"),
        ({"status": "teleported"}, "orders.status.invalid"),
        ({"amount": "-0.01"}, "orders.amount.invalid"),
        ({"amount": "100000.01"}, "orders.amount.invalid"),
        ({"amount": None}, "orders.amount.missing"),
        ({"currency": "CHF"}, "orders.currency.invalid"),
        ({"ordered_at": None}, "orders.ordered_at.missing"),
        ({"ordered_at": "2021-01-01T12:05:00.000001Z"}, "orders.failed_rows.ordered_before_updated"),
    ],
)
def test_one_bad_order_fails_exactly_its_check(changes: dict[str, Any], check: str) -> None:
    results = ask_committed("orders.yml", [order(1), order(2, **changes), order(3)])
    assert not_passed(results) == {check: "failed"}
    assert results[check].failing_rows == 1


def test_text_among_the_amounts_is_a_fault_of_the_schema() -> None:
    results = ask_committed("orders.yml", [order(1), order(2, amount="n/a"), order(3, discount=5)])
    assert not_passed(results) == {
        "orders.schema.type.amount": "failed",
        "orders.schema.unexpected.discount": "failed",
        "orders.amount.missing": "skipped",
        "orders.amount.invalid": "skipped",
    }
    assert show_values(results["orders.schema.type.amount"].message) == (
        "orders.amount: 1 of 3 values are not decimal(12,2), e.g. 'n/a'"
    )


def test_deletions_need_nothing_but_their_key() -> None:
    rows: list[dict[str, object]] = [order(1), {"order_id": 2, "_deleted": True}]
    assert not_passed(ask_committed("orders.yml", rows)) == {}


def test_few_bad_addresses_pass_and_many_fail() -> None:
    rows = [customer(i, email="nobody" if i < 2 else "ada@example.com") for i in range(100)]
    result = ask_committed("customers.yml", rows)["customers.email.invalid"]
    assert (result.outcome, result.failing_rows) == (Outcome.PASSED, 2)
    rows = [customer(i, email="nobody" if i < 3 else "ada@example.com") for i in range(100)]
    result = ask_committed("customers.yml", rows)["customers.email.invalid"]
    assert (result.outcome, result.failing_rows) == (Outcome.FAILED, 3)
    assert result.message == ("customers.email: 3 % of 100 rows (3) are not an e-mail address (allowed: at most 2 %)")


def test_absent_addresses_warn_and_a_martian_fails() -> None:
    rows = [customer(1, email=None), customer(2, segment="martian"), customer(3, country="de")]
    assert not_passed(ask_committed("customers.yml", rows)) == {
        "customers.email.missing": "warned",
        "customers.segment.invalid": "failed",
        "customers.country.invalid": "failed",
    }


def test_mart_contract_passes_good_statistics_and_finds_doubles(con: duckdb.DuckDBPyConnection) -> None:
    contract = load_contract(ROOT / "checks" / "marts" / "customer_statistics.yml")
    con.execute(
        "CREATE TABLE marts AS SELECT * FROM (VALUES ('consumer', 'DE', DATE '2021-01-01', 1::BIGINT, 2::BIGINT, "
        "3::DECIMAL(38,2)), ('unknown', 'unknown', DATE '2021-01-01', 0, 1, 0)) "
        "t(segment, country, month, customers, orders, revenue)"
    )
    assert {result.outcome for result in check_contract(con, contract, "marts")} == {Outcome.PASSED}
    con.execute("INSERT INTO marts SELECT * REPLACE (5 AS customers) FROM marts WHERE segment = 'consumer'")
    con.execute("UPDATE marts SET month = DATE '2021-01-02' WHERE segment = 'unknown'")
    failed = {r.check: r.failing_rows for r in check_contract(con, contract, "marts") if r.outcome is Outcome.FAILED}
    assert failed == {
        "customer_statistics.duplicate.segment_country_month": 2,
        "customer_statistics.failed_rows.no_more_customers_than_orders": 1,
        "customer_statistics.failed_rows.a_month_is_its_first_day": 1,
    }


def test_results_hold_plain_values_only(con: duckdb.DuckDBPyConnection) -> None:
    fill(con, (1, "a", 5))
    for result in ask(con, column="{missing: }, {duplicate: }", checks="{row_count: }").values():
        assert {type(value) for value in asdict(result).values()} <= {str, float, int, bool, type(None), Outcome}
