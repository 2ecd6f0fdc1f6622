"""Mutations of a batch: each changes what it says, the same for the same seed, and a smaller dose less of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import duckdb
import pytest

from dartifact.compare.drift.profiling import Scan, profile_batch
from dartifact.compare.mutations.faults import FAULTS
from dartifact.compare.mutations.harmless import HARMLESS
from dartifact.compare.mutations.self_test import SelfTest, Stop, run_trials
from dartifact.compare.mutations.work import ALL, Dose, Mutation, Table
from dartifact.documents.self_tests import describe_self_test

LO = datetime(2021, 1, 1, tzinfo=UTC)
HI = LO + timedelta(hours=1)
ROWS = 1000
TYPES = {
    "id": "BIGINT",
    "customer": "VARCHAR",
    "name": "VARCHAR",
    "city": "VARCHAR",
    "status": "VARCHAR",
    "amount": "DECIMAL(12,2)",
    "born_at": "TIMESTAMP WITH TIME ZONE",
    "updated_at": "TIMESTAMP WITH TIME ZONE",
}
BATCH = f"""
    SELECT i AS id, 'C' || lpad((i % 500)::VARCHAR, 6, '0') AS customer, 'Ada Adler ' || i AS name,
        'Bern ' || (i * 7919 % 997) AS city, ['placed', 'paid', 'shipped'][1 + i % 3] AS status,
        CAST(1 + i % 397 + 0.25 AS DECIMAL(12,2)) AS amount,
        TIMESTAMPTZ '2021-01-01 00:00:00+00' + to_seconds(i) AS born_at,
        TIMESTAMPTZ '2021-01-01 00:10:00+00' + to_seconds(2 * i) AS updated_at,
        'r' AS _run_id, 1::BIGINT AS _seq, now() AS _extracted_at, false AS _deleted, i AS file_row_number
    FROM range({ROWS}) t(i)"""


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"CREATE TABLE batch AS {BATCH}")
        connection.execute("CREATE TABLE before AS SELECT * REPLACE (id + 5000 AS id, 'paid' AS status) FROM batch")
        yield connection


@pytest.fixture(scope="module")
def table(connection: duckdb.DuckDBPyConnection) -> Table:
    profile = profile_batch(Scan(connection, "batch", LO, HI), ())
    end = f"TIMESTAMPTZ '{HI.isoformat()}'"
    return Table("batch", TYPES, profile, ("id",), "updated_at", end, ("customer",), "before",
                 {"status": ("placed", "paid")})  # fmt: skip


def differing(connection: duckdb.DuckDBPyConnection, query: str) -> int:
    """Count the rows of the mutated batch that the batch does not have, and the other way round."""
    good = "SELECT * EXCLUDE (file_row_number) FROM batch"
    counts = [f"(SELECT count(*) FROM (({a}) EXCEPT ALL ({b})))" for a, b in ((query, good), (good, query))]
    found: int = connection.execute(f"SELECT greatest({', '.join(counts)})").fetchall()[0][0]
    return found


def test_there_are_enough_of_both_and_their_names_differ() -> None:
    assert len(FAULTS) >= 30
    assert len(HARMLESS) >= 10
    names = [each.name for each in (*FAULTS, *HARMLESS)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("mutation", [*FAULTS, *HARMLESS], ids=lambda each: each.name)
def test_each_is_a_batch_of_the_same_columns_and_the_same_for_the_same_seed(
    connection: duckdb.DuckDBPyConnection, table: Table, mutation: Mutation
) -> None:
    first, again = (mutation.apply(table, Dose(0.1, seed=3)) for _ in range(2))
    assert first is not None
    assert first == again
    found = {row[0]: row[1] for row in connection.execute(f"DESCRIBE {first.query}").fetchall()}
    assert "file_row_number" not in found
    if mutation.name not in ("missing_column", "unexpected_column", "retyped_column"):
        assert {name: found[name] for name in TYPES} == TYPES
        assert {"_run_id", "_seq", "_extracted_at", "_deleted"} <= found.keys()


@pytest.mark.parametrize("mutation", [each for each in FAULTS if each.graded], ids=lambda each: each.name)
def test_a_dose_is_a_share_of_the_rows(connection: duckdb.DuckDBPyConnection, table: Table, mutation: Mutation) -> None:
    counts = []
    for share in (0.0, 0.1, 0.5):
        mutated = mutation.apply(table, Dose(share))
        assert mutated is not None
        if mutation.name == "retyped_column":
            [[count]] = connection.execute(
                f"SELECT count(*) FROM ({mutated.query}) WHERE {mutated.columns[0]}::VARCHAR = 'unknown'"
            ).fetchall()
        else:
            count = differing(connection, mutated.query)
        counts.append(count)
    assert counts[0] == 0
    times = 9 if mutation.name == "multiplied_rows" else 1
    assert 0 < counts[1] <= 0.15 * ROWS * times
    assert counts[1] < counts[2] <= 0.6 * ROWS * times


def test_another_seed_spoils_other_rows(connection: duckdb.DuckDBPyConnection, table: Table) -> None:
    lost = next(each for each in FAULTS if each.name == "lost_rows")
    queries = [each.query for seed in (0, 1) if (each := lost.apply(table, Dose(0.5, seed=seed)))]
    [[shared]] = connection.execute(
        f"SELECT count(*) FROM (SELECT id FROM ({queries[0]}) INTERSECT SELECT id FROM ({queries[1]}))"
    ).fetchall()
    assert 0.15 * ROWS < shared < 0.35 * ROWS


def test_a_magnitude_makes_a_fault_stronger(connection: duckdb.DuckDBPyConnection, table: Table) -> None:
    fault = next(each for each in FAULTS if each.name == "half_more")
    sums = []
    for magnitude in (0.1, 1.0, 2.0):
        mutated = fault.apply(table, Dose(ALL, magnitude))
        assert mutated is not None
        sums += connection.execute(f"SELECT sum(amount) FROM ({mutated.query})").fetchall()[0]
    assert sums == sorted(sums)
    assert sums[2] > 1.8 * float(sums[0])


def test_trials_find_the_smallest_dose_that_is_stopped(connection: duckdb.DuckDBPyConnection, table: Table) -> None:
    def ask(query: str) -> Stop | None:
        [[nulls, rows]] = connection.execute(f"SELECT count(*) FILTER (id IS NULL), count(*) FROM ({query})").fetchall()
        if nulls >= 20:
            return Stop("local", "orders.id.missing", f"{nulls} keys are null")
        return Stop("integration", "orders.row_count", "few rows") if rows < 0.6 * ROWS else None

    said: list[str] = []
    faults, harmless = run_trials(table, ask, seed=0, magnitude=1.0, progress=said.append)
    found = {each.name: each for each in faults}
    assert (found["null_keys"].stopped_by, found["null_keys"].smallest_dose) == ("local", 0.03)
    assert (found["lost_rows"].stopped_by, found["lost_rows"].smallest_dose) == (None, 0.5)
    assert (found["negative"].stopped_by, found["negative"].smallest_dose) == (None, None)
    assert not any(each.stopped_by for each in harmless)
    assert len(said) == len(FAULTS) + len(HARMLESS)
    report = SelfTest("orders", "run", ROWS, faults, harmless)
    document = describe_self_test(report)
    assert document["catch_rate"] == pytest.approx(1 / len(FAULTS), abs=1e-3)
    assert document["false_alarms"] == 0
    assert {"name", "stopped_by", "smallest_dose"} <= document["faults"][0].keys()


def test_what_fits_no_column_is_not_counted(connection: duckdb.DuckDBPyConnection, table: Table) -> None:
    text = Table("batch", {"id": "BIGINT", "updated_at": TYPES["updated_at"]}, table.profile, ("id",), "updated_at", "")
    faults, _ = run_trials(text, lambda _: None, seed=0, magnitude=1.0, progress=lambda _: None)
    fitting = {each.name for each in faults if each.columns is not None}
    assert "null_keys" in fitting
    assert not {"negative", "blank", "epoch", "repeats", "regressions"} & fitting
