"""Drift on tables in DuckDB: what is unusual is named, what is usual passes, and too little history asks nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dartifact.compare.drift.drift import check_drift
from dartifact.compare.drift.profiling import Scan, add_known, profile_batch
from dartifact.domain.checks import Outcome, Result
from dartifact.domain.drift_rules import DriftRules, Level, Rule
from dartifact.domain.drift_statistics import find_bounds, judge_distance, judge_level, judge_share, measure_distance
from dartifact.domain.profiles import Profile
from dartifact.domain.sources import Ingestor, Source

START = datetime(2021, 1, 1, tzinfo=UTC)
WINDOW = timedelta(minutes=5)
ROWS = 1000
RUNS = 8
COLUMNS = "id, customer, name, status, amount, born_at, updated_at, _deleted"


def select_batch(number: int, rows: int = ROWS) -> str:
    """Select a good batch: deterministic, and different for each number."""
    lo, seed = (START + number * WINDOW).isoformat(), f"CAST(hash({number} * 100003 + i) % 1000000007 AS BIGINT)"
    share = f"(({seed} % 100000) / 100000.0)"
    return f"""
        SELECT {number} * 10000 + i AS id,
            'C' || lpad(CAST({seed} % 5000 AS VARCHAR), 6, '0') AS customer,
            ['Ada Adler', 'Ben Brown', 'Chloe Costa', 'Zoë Müller'][1 + {seed} % 4] || ' ' || ({seed} % 900) AS name,
            CASE WHEN {share} < 0.5 THEN 'placed' WHEN {share} < 0.8 THEN 'paid' ELSE 'shipped' END AS status,
            CAST(exp(3 + 4 * (({seed} // 7) % 10000) / 10000.0) AS DECIMAL(12,2)) AS amount,
            TIMESTAMPTZ '{lo}' + to_seconds(300.0 * i / {rows} - ({seed} % 3000)) AS born_at,
            TIMESTAMPTZ '{lo}' + to_seconds(300.0 * (i + 1) / {rows}) AS updated_at,
            false AS _deleted
        FROM range({rows}) t(i)"""


def profile(query: str, number: int, history: Sequence[Profile] = (), windows: int = 1) -> tuple[Profile, Scan]:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(f"CREATE TABLE batch AS {query}")
    scan = Scan(connection, "batch", START + number * WINDOW, START + (number + windows) * WINDOW)
    return profile_batch(scan, history), scan


@cache
def good_history(runs: int = RUNS) -> tuple[Profile, ...]:
    """Return the profiles of good batches, the newest first."""
    history: list[Profile] = []
    for number in range(runs):
        history.insert(0, profile(select_batch(number), number, history)[0])
    return tuple(history)


def look(query: str, rules: DriftRules = DriftRules(), runs: int = RUNS) -> tuple[Result, ...]:  # noqa: B008
    batch, scan = profile(query, RUNS, good_history(runs))
    return check_drift("orders", batch, good_history(runs), rules, scan.end, source="dan")


def stopped_by(results: Sequence[Result]) -> set[str]:
    return {each.check.removeprefix("orders.drift.") for each in results if each.outcome is Outcome.FAILED}


def spoil(*replaced: str, where: str = "id % 10 = 0", rows: str = "true") -> str:
    """Select the next batch with some columns replaced, `expression AS name`, in a tenth of the rows."""
    changes = ", ".join(
        f"CASE WHEN {where} THEN {each.rsplit(' AS ', 1)[0]} ELSE {each.rsplit(' AS ', 1)[1]} END "
        f"AS {each.rsplit(' AS ', 1)[1]}"
        for each in replaced
    )
    star = f"* REPLACE ({changes})" if replaced else "*"
    return f"SELECT {star} FROM ({select_batch(RUNS)}) WHERE {rows}"


def test_the_next_good_batch_is_as_usual() -> None:
    results = look(select_batch(RUNS))
    assert {each.outcome for each in results} == {Outcome.PASSED}, [each.message for each in results]
    assert {each.column for each in results} == {None, *COLUMNS.split(", ")} - {"_deleted"}


@pytest.mark.parametrize(
    ("query", "check"),
    [
        (spoil(rows="id % 2 = 0"), "volume"),
        (f"SELECT * FROM ({select_batch(RUNS)}), range(3)", "volume"),
        (spoil("NULL AS amount"), "amount.nulls"),
        (spoil("'' AS name"), "name.blank"),
        (spoil("' ' || name AS name"), "name.padded"),
        (spoil("'MÃ¼ller' AS name"), "name.mojibake"),
        (spoil("'<b>' || name || '</b>' AS name"), "name.html"),
        (spoil("'12,50' AS name"), "name.comma"),
        (spoil("'N/A' AS name"), "name.placeholder"),
        (spoil("upper(name) AS name"), "name.upper"),
        (spoil("'lost' AS status"), "status.new_values"),
        (spoil("'paid' AS status", where="status = 'shipped'"), "status.vanished.shipped"),
        (spoil("'paid' AS status", where="id % 2 = 0"), "status.distribution"),
        (spoil("-amount AS amount"), "amount.negative"),
        (spoil("0 AS amount"), "amount.zero"),
        (spoil("amount / 100 AS amount", where="true"), "amount.median"),
        (spoil("amount * 100000 AS amount", where="id % 100 = 0"), "amount.outliers"),
        (spoil("round(amount) AS amount", where="true"), "amount.whole"),
        (spoil("42 AS amount", where="true"), "amount.distribution"),
        (spoil("42 AS amount"), "amount.piled_up"),
        (spoil("substr(name, 1, 3) AS name", where="true"), "name.length"),
        (spoil("'X-' || customer AS customer"), "customer.new_shapes"),
        (spoil("TIMESTAMPTZ '1970-01-01' AS born_at"), "born_at.outliers"),
        (spoil("updated_at + INTERVAL 1 DAY AS updated_at"), "updated_at.negative"),
        (spoil("updated_at - INTERVAL 1 DAY AS updated_at"), "updated_at.stale"),
        (spoil("updated_at + INTERVAL 1 MINUTE AS born_at"), "born_at.greater_than.updated_at"),
        (spoil("born_at - INTERVAL 1 HOUR AS born_at", where="true"), "born_at.distribution"),
        (spoil("true AS _deleted"), "deletions"),
    ],
)
def test_a_spoiled_batch_is_stopped_by_the_check_that_names_it(query: str, check: str) -> None:
    results = look(query)
    assert check in stopped_by(results), [each.message for each in results if each.outcome is not Outcome.PASSED]


def look_at_updates(status: str, updated: str) -> tuple[Result, ...]:
    """Check a batch that updates rows of `main`: history took `placed` to what came, the last batch as is told."""
    source = Source("orders", ("id",), (Ingestor("dan"),))
    history: list[Profile] = []
    for number in range(RUNS + 1):
        is_last = number == RUNS
        query = select_batch(number)
        query = f"SELECT * REPLACE ({status} AS status) FROM ({query})" if is_last else query
        known, scan = profile(query, number, history)
        columns = f"'placed' AS status, {updated if is_last else 'updated_at - INTERVAL 1 HOUR'} AS updated_at"
        was = f"'paid' AS status, {updated} AS updated_at" if is_last else columns
        scan.connection.execute(f"CREATE TABLE before AS SELECT * REPLACE ({was}) FROM ({query})")
        known = add_known(scan, known, source, "before")
        if is_last:
            return check_drift("orders", known, history, DriftRules(), scan.end, source="dan")
        history.insert(0, known)
    raise AssertionError


def test_a_state_that_goes_back_is_named() -> None:
    results = look_at_updates("CASE WHEN id % 5 = 0 THEN 'placed' ELSE status END", "updated_at - INTERVAL 1 HOUR")
    assert "status.regression.placed" in stopped_by(results), [each.message for each in results]


def test_rows_that_main_has_already_are_named() -> None:
    results = look_at_updates("'paid'", "updated_at")
    assert "repeats" in stopped_by(results), [each.message for each in results]


@pytest.mark.parametrize("windows", [2, 3, 12])
def test_the_long_window_after_an_outage_is_as_usual_and_an_old_date_in_it_is_not(windows: int) -> None:
    brought = " UNION ALL ".join(select_batch(RUNS + n) for n in range(windows))
    for born, expected in (("born_at", set()), ("TIMESTAMPTZ '1970-01-01'", {"born_at.outliers"})):
        query = f"SELECT * REPLACE (CASE WHEN id % 100 = 0 THEN {born} ELSE born_at END AS born_at) FROM ({brought})"
        batch, scan = profile(query, RUNS, good_history(), windows=windows)
        assert (
            stopped_by(check_drift("orders", batch, good_history(), DriftRules(), scan.end, source="dan")) == expected
        )


def test_a_single_strange_row_is_a_warning() -> None:
    results = look(spoil("'lost' AS status", where="id % 10000 = 500"))
    assert stopped_by(results) == set()
    assert [each.check for each in results if each.outcome is Outcome.WARNED] == ["orders.drift.status.new_values"]


def test_the_condition_of_a_result_finds_exactly_its_rows() -> None:
    batch, scan = profile(spoil("' ' || name AS name"), RUNS, good_history())
    results = check_drift("orders", batch, good_history(), DriftRules(), scan.end, source="dan")
    [padded] = [each for each in results if each.check.endswith("padded")]
    assert padded.failing_rows == ROWS // 10
    found = scan.connection.execute(f"SELECT count(*), min(id % 10) FROM batch WHERE {padded.condition}").fetchall()
    assert found == [(ROWS // 10, 0)]


def test_too_little_history_asks_nothing_and_says_so() -> None:
    [result] = look(spoil("NULL AS amount"), runs=4)
    assert result.outcome is Outcome.SKIPPED
    assert "4 merged runs of dan with 4,000 rows so far; 5 with 200 rows are needed" in result.message


def test_a_rule_that_is_off_or_warns_does_not_stop() -> None:
    query = spoil("NULL AS amount", where="true")
    for level, expected in ((Level.OFF, Outcome.PASSED), (Level.WARN, Outcome.WARNED)):
        rules = DriftRules(columns={"amount": {"nulls": Rule(level, 0.02)}})
        results = {each.check: each.outcome for each in look(query, rules)}
        assert results.get("orders.drift.amount.nulls", Outcome.PASSED) is expected


def test_a_profile_is_the_same_after_json() -> None:
    import json  # noqa: PLC0415

    for each in good_history():
        assert Profile.from_json(json.loads(json.dumps(each.to_json()))) == each


def test_an_empty_column_and_strange_numbers_are_profiled() -> None:
    query = "SELECT NULL::VARCHAR AS a, 'nan'::DOUBLE AS b, 'inf'::DOUBLE AS c, NULL::DATE AS d, [1] AS e"
    query = f"SELECT *, false AS _deleted FROM ({query})"
    batch, _ = profile(query, 0)
    assert {name: (each.rows, each.nulls) for name, each in batch.columns.items()} == dict.fromkeys("abcd", (0, 1))


@given(
    st.integers(0, 100), st.integers(1, 100), st.lists(st.tuples(st.integers(0, 50), st.integers(50, 100)), max_size=9)
)
def test_a_share_no_larger_than_ever_is_not_unusual(count: int, rows: int, before: list[tuple[int, int]]) -> None:
    figure = judge_share(min(count, rows), rows, before, 0.02)
    if before and figure.measured <= figure.usual:
        assert not figure.is_unusual


def test_a_share_of_nothing_is_not_unusual() -> None:
    assert not judge_share(0, 0, [(0, 0)] * 5, 0.02).is_unusual
    assert not judge_share(0, 3, [(0, 0)] * 5, 0.02).is_unusual


@given(st.lists(st.floats(-1e6, 1e6), min_size=5, max_size=30))
def test_a_level_that_was_there_before_is_not_unusual(before: list[float]) -> None:
    assert not any(judge_level(each, before, 0.1).is_unusual for each in before)


@given(st.lists(st.integers(0, 1000), min_size=2, max_size=8), st.integers(1, 20))
def test_a_distribution_has_no_distance_from_itself_and_never_more_than_one(counts: list[int], factor: int) -> None:
    assert measure_distance(counts, [each * factor for each in counts]) == pytest.approx(0)
    assert 0 <= measure_distance(counts, list(reversed(counts))) <= 1
    assert not judge_distance(counts, [counts] * 5, 0.1).is_unusual


def test_a_distribution_that_small_batches_have_moved_as_far_is_not_unusual() -> None:
    young = [[300, 0], [250, 50], [200, 100], [180, 120], [160, 140]]  # a source's first batches, still settling
    assert not judge_distance([3000, 3000], young, 0.15).is_unusual
    assert judge_distance([3000, 3000], [[218, 82]] * 5, 0.15).is_unusual


@given(st.floats(-1e6, 1e6), st.floats(0, 1e6), st.floats(0, 1))
def test_bounds_lie_outside_of_what_was_seen(low: float, width: float, at: float) -> None:
    least, most = find_bounds(low, low + width, low + width * at)
    assert least <= low
    assert most >= low + width
