"""The table diff on every type: values that differ are told apart whatever their hashes, and equal ones are equal."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dartifact.compare.diff.columns import Tolerance
from dartifact.compare.diff.figures import select_cells
from dartifact.compare.diff.plan import Options, Side
from dartifact.compare.diff.rendering.words import list_notes
from dartifact.compare.diff.report import DiffReport, Renamed
from dartifact.compare.diff.table import compare
from dartifact.domain.errors import UsageError
from tests.support.diff_oracle import diff_naively
from tests.unit.test_table_diff import QUICK

# Values of one type, no two of them equal; many of them have the same hash in DuckDB, or are equal to it.
VALUES = {
    "DECIMAL(38,2)": ["0.00", "-0.01", "184467440737095516.16", "1.00"],
    "DECIMAL(20,0)": ["0", "-1", "18446744073709551616"],
    "HUGEINT": ["0", "-1", "1", "18446744073709551617"],
    "UHUGEINT": ["0", "1", "340282366920938463463374607431768211455"],
    "INTERVAL": ["INTERVAL '1 month'", "INTERVAL '30 days'", "INTERVAL '24 hours'", "INTERVAL '1 day'"],
    "INTEGER[]": ["[]", "[NULL]", "[0]", "[0, 0]"],
    "INTEGER[][]": ["[[1, 2]]", "[[1], [2]]", "[[]]", "[]"],
    "VARCHAR[]": ["['a, b']", "['a', 'b']", "['NULL']", "[NULL]"],
    "STRUCT(a INTEGER, b VARCHAR)": ["{'a': NULL, 'b': NULL}", "{'a': 1, 'b': NULL}", "{'a': 1, 'b': ''}"],
    "STRUCT(i INTERVAL)": ["{'i': INTERVAL '1 month'}", "{'i': INTERVAL '30 days'}", "{'i': NULL}"],
    "MAP(INTEGER, INTEGER)": ["MAP {}", "MAP {1: 2}", "MAP {1: NULL}", "MAP {2: 2}"],
    "UNION(n INTEGER, t VARCHAR)": ["union_value(n := 1)", "union_value(t := '1')"],
    "TIMESTAMP_NS": ["'2021-01-01 00:00:00.000000001'", "'2021-01-01 00:00:00.000000002'", "'2021-01-01'"],
    "TIMESTAMP WITH TIME ZONE": ["'2021-01-01 00:00:00+00'", "'2021-01-01 00:00:00+01'", "'infinity'"],
    "TIME WITH TIME ZONE": ["'12:00:00+00'", "'13:00:00+01'"],
    "BIT": ["'1'", "'01'"],
    "BLOB": ["'\\x00'", "'\\x00\\x00'", "''"],
    "DOUBLE": ["'nan'", "0.0", "'inf'", "5e-324"],
    "UUID": ["'00000000-0000-0000-0000-000000000000'", "'00000000-0000-0000-0000-000000000001'"],
}
Drawn = list[tuple[int, ...]]


@st.composite
def typed_tables(draw: st.DrawFn) -> tuple[list[str], Drawn, Drawn, bool]:
    """Draw the types of two columns, rows that name values by position, and whether rows have a key."""
    types = draw(st.lists(st.sampled_from(sorted(VALUES)), min_size=2, max_size=2))
    row = st.tuples(st.integers(0, 5), *(st.integers(-1, len(VALUES[kind]) - 1) for kind in types))
    common = draw(st.lists(row, max_size=6))
    other = draw(st.lists(row, max_size=3))
    candidate = [draw(st.sampled_from([each, each, draw(row)])) for each in common] + draw(st.lists(row, max_size=3))
    return types, common + other, candidate, draw(st.booleans())


def make(connection: duckdb.DuckDBPyConnection, name: str, types: Sequence[str], rows: Drawn) -> Side:
    columns = ", ".join(f"v{n} {kind}" for n, kind in enumerate(types))
    connection.execute(f"CREATE OR REPLACE TABLE {name} (k BIGINT, {columns})")
    for key, *at in rows:
        values = ["NULL" if n < 0 else f"({VALUES[kind][n]})::{kind}" for n, kind in zip(at, types, strict=True)]
        connection.execute(f"INSERT INTO {name} SELECT {key}, {', '.join(values)}")
    return Side(name, name)


def compare_tables(base: str, candidate: str, options: Options) -> DiffReport:
    """Compare two SELECTs."""
    with tempfile.TemporaryDirectory() as folder, duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"CREATE TABLE base AS {base}")
        connection.execute(f"CREATE TABLE candidate AS {candidate}")
        sides = Side("base", "base"), Side("candidate", "candidate")
        return compare(connection, *sides, options, Path(folder) / "rows.parquet").report


@QUICK
@given(typed_tables())
def test_no_two_values_are_taken_for_one(drawn: tuple[list[str], Drawn, Drawn, bool]) -> None:
    types, base, candidate, has_key = drawn
    named = [
        [{"k": key, **{f"v{n}": None if at < 0 else at for n, at in enumerate(places)}} for key, *places in rows]
        for rows in (base, candidate)
    ]
    key = ("k",) if has_key else ()
    with tempfile.TemporaryDirectory() as folder, duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        sides = make(connection, "base", types, base), make(connection, "candidate", types, candidate)
        rows_file = Path(folder) / "rows.parquet"
        diff = compare(connection, *sides, Options(key=key), rows_file)
        report, stored = diff.report, diff.stored
        cells = connection.execute(select_cells(f"read_parquet('{rows_file}')", stored.key, stored.columns)).fetchall()
    columns = [name for name in ("k", "v0", "v1") if name not in report.key]
    expected = diff_naively(*named, report.key, columns)
    assert (report.rows.added, report.rows.removed, report.rows.changed, report.rows.unchanged) == (
        expected.added, expected.removed, expected.changed, expected.unchanged
    )  # fmt: skip
    counted = {column.name: column.changed for column in report.columns}
    assert counted == {name: expected.cells[name] for name in columns}
    assert all(base != candidate for *_, base, candidate, kind in cells if kind == "changed")


@pytest.mark.parametrize(
    ("base", "candidate", "same"),
    [
        ("5::DECIMAL(38,2)", "5::DECIMAL(38,4)", True),
        ("5::DECIMAL(38,0)", "5::DECIMAL(38,2)", True),
        ("5::DECIMAL(38,20)", "5::BIGINT", True),
        ("0::DECIMAL(38,2)", "0::DECIMAL(38,30)", True),
        ("100::DECIMAL(38,0)", "1::DECIMAL(38,2)", False),
        ("5.01::DECIMAL(38,2)", "5.0100000001::DECIMAL(38,30)", False),
        ("0::INTEGER", "-1::BIGINT", False),
        ("0::UBIGINT", "-1::BIGINT", False),
        ("18446744073709551615::UBIGINT", "(-1)::BIGINT", False),
        ("'2021-01-01'::TIMESTAMP_NS", "'2021-01-01 00:00:00+00'::TIMESTAMPTZ", True),
        ("'2021-01-01'::TIMESTAMP_NS", "'2021-01-01'::DATE", True),
        ("'2021-01-01 00:00:00.1'::TIMESTAMP_NS", "'2021-01-01 00:00:00.100000'::TIMESTAMP", True),
        ("'2021-01-01 00:00:00.000000001'::TIMESTAMP_NS", "'2021-01-01'::TIMESTAMP", False),
        ("'2021-01-01 10:00:00'::TIMESTAMP_NS", "'2021-01-01 01:00:00'::TIMESTAMP", False),
        ("'nan'::DOUBLE", "'NaN'", True),
        ("'inf'::DOUBLE", "'Infinity'", True),
        ("'nan'::DOUBLE", "'nano'", False),
    ],
)
def test_values_of_two_types_are_equal_as_declared(base: str, candidate: str, same: bool) -> None:
    for key in (("id",), ()):
        report = compare_tables(f"SELECT 1 AS id, {base} AS v", f"SELECT 1 AS id, {candidate} AS v", Options(key=key))
        assert (report.rows.added + report.rows.changed == 0) == same


@pytest.mark.parametrize(
    ("base", "candidate", "shown"),
    [
        ("9007199254740993::UBIGINT", "9007199254740993::BIGINT", "9007199254740993"),
        ("7::INTEGER", "7::BIGINT", "7"),
        ("7::UINTEGER", "7::INTEGER", "7"),
        ("18446744073709551617::HUGEINT", "18446744073709551617::HUGEINT", "18446744073709551617"),
    ],
)
def test_keys_of_whole_numbers_stay_whole(base: str, candidate: str, shown: str) -> None:
    report = compare_tables(f"SELECT {base} AS id, 1 AS v", f"SELECT {candidate} AS id, 2 AS v", Options(key=("id",)))
    assert report.columns[0].examples[0].key == shown


@pytest.mark.parametrize(
    ("base", "candidate", "tolerance", "same"),
    [
        ("0.3::DOUBLE", "0.4::DOUBLE", "0.1", True),
        ("0.3::DOUBLE", "0.41::DOUBLE", "0.1", False),
        ("0.30::DECIMAL(38,2)", "0.4000::DECIMAL(38,36)", "0.1", True),
        ("5::DECIMAL(38,0)", "5.2::DECIMAL(38,2)", "0.1", False),
        ("'1'", "'1.05'", "0.1", False),
    ],
)
def test_a_tolerance_means_at_most_that_far(base: str, candidate: str, tolerance: str, same: bool) -> None:
    options = Options(key=("id",), tolerance=Tolerance.parse(tolerance))
    report = compare_tables(f"SELECT 1 AS id, {base} AS v", f"SELECT 1 AS id, {candidate} AS v", options)
    assert (report.rows.changed == 0) == same


NUMBERED = "SELECT i AS id, 'value ' || i AS old FROM range(100) t(i)"
RENAMED = "SELECT i AS id, CASE WHEN i = 5 THEN 'other' ELSE 'value ' || i END AS new FROM range(100) t(i)"


def test_a_renamed_column_of_which_one_value_changed_is_found_and_its_cells_are_counted() -> None:
    report = compare_tables(NUMBERED, RENAMED, Options(key=("id",)))
    assert report.schema.renamed == (Renamed("old", "new", 0.99),)
    assert (report.schema.added, report.schema.removed) == ((), ())
    assert [(column.name, column.changed) for column in report.columns] == [("new", 1)]
    assert (report.rows.changed, report.rows.unchanged) == (1, 99)


def test_columns_that_agree_in_one_value_only_are_not_taken_for_renamed() -> None:
    report = compare_tables(
        "SELECT i AS id, true AS is_active FROM range(9) t(i)", "SELECT i AS id, true AS paid FROM range(9) t(i)",
        Options(key=("id",)),
    )  # fmt: skip
    assert report.schema.renamed == ()


def test_a_rename_is_given_also_of_the_key() -> None:
    base, candidate = "SELECT 1 AS id, 2 AS v", "SELECT 1 AS customer_id, 3 AS w"
    for key in ("id", "customer_id"):
        report = compare_tables(base, candidate, Options(key=(key,), rename=(("id", "customer_id"), ("v", "w"))))
        assert report.key == ("customer_id",)
        assert [(column.name, column.changed) for column in report.columns] == [("w", 1)]
        assert {each.base for each in report.schema.renamed} == {"id", "v"}


@pytest.mark.parametrize("rename", [("nope", "w"), ("v", "nope"), ("id", "w")])
def test_a_rename_that_cannot_be_is_refused(rename: tuple[str, str]) -> None:
    with pytest.raises(UsageError):
        compare_tables("SELECT 1 AS id, 2 AS v", "SELECT 1 AS id, 3 AS w", Options(rename=(rename,)))


def test_only_rows_that_meet_a_condition_are_compared() -> None:
    report = compare_tables(NUMBERED, RENAMED, Options(key=("id",), where="id < 5"))
    assert (report.rows.base, report.rows.candidate, report.rows.changed) == (5, 5, 0)
    with pytest.raises(UsageError, match="the condition does not fit"):
        compare_tables(NUMBERED, RENAMED, Options(key=("id",), where="nope < 5"))


def test_a_sample_takes_the_same_keys_of_both_sides() -> None:
    base = "SELECT i::DECIMAL(9,2) AS id, i AS v FROM range(10000) t(i)"
    report = compare_tables(base, "SELECT i::INTEGER AS id, i AS v FROM range(10000) t(i)",
                            Options(key=("id",), sample=0.1))  # fmt: skip
    assert report.rows.base == report.rows.candidate == report.rows.unchanged
    assert 800 < report.rows.base < 1200
    with pytest.raises(UsageError, match="without a key"):
        compare_tables("SELECT 1.5 AS v", "SELECT 1.5 AS v", Options(sample=0.5))


def test_a_unique_column_with_one_null_is_offered_as_key_and_the_null_is_said() -> None:
    rows = "SELECT nullif(i, 3) AS id, 'x' || i AS lon FROM range(9) t(i)"
    report = compare_tables(rows, rows, Options())
    assert (report.key, report.key_origin) == (("id",), "suggested")
    assert (report.rows.null_keys_base, report.rows.null_keys_candidate) == (1, 1)


@pytest.mark.parametrize(
    ("columns", "key"),
    [
        (("lon", "lat", "code"), "code"),
        (("price", "name", "customer_id"), "customer_id"),
        (("amount", "name"), "name"),
        (("code", "ID"), "ID"),
        (("kunde_id", "uuid"), "uuid"),
    ],
)
def test_identifiers_are_suggested_before_measures(columns: tuple[str, ...], key: str) -> None:
    rows = f"SELECT {', '.join(f'i AS {name}' for name in columns)} FROM range(9) t(i)"
    assert compare_tables(rows, rows, Options()).key == (key,)


def test_many_changed_columns_are_all_told() -> None:
    wide = ", ".join(f"i + {n} AS c{n}" for n in range(450))
    moved = ", ".join(f"i + {n} + CASE WHEN i = 7 THEN 1 ELSE 0 END AS c{n}" for n in range(450))
    report = compare_tables(
        f"SELECT i AS id, {wide} FROM range(20) t(i)", f"SELECT i AS id, {moved} FROM range(20) t(i)",
        Options(key=("id",)),
    )  # fmt: skip
    told: list[tuple[str, int, Any]] = [(each.name, each.changed, each.examples[0].key) for each in report.columns]
    assert told == [(f"c{n}", 1, "7") for n in range(450)]
    assert all(each.shift is not None and each.shift.mean_change == 1 for each in report.columns)


def test_columns_that_are_read_with_fewer_digits_than_they_hold_are_told(tmp_path: Path) -> None:
    columns = {
        "id": pa.array([1]),
        "zoned": pa.array([1], pa.timestamp("ns", "UTC")),
        "plain": pa.array([1], pa.timestamp("ns")),
        "wide": pa.array([None], pa.decimal256(60, 2)),
        "exact": pa.array([None], pa.decimal128(38, 2)),
    }
    file = str(tmp_path / "a.parquet")
    pq.write_table(pa.table(columns), file)
    with duckdb.connect() as connection:
        connection.execute(f"CREATE VIEW base AS FROM '{file}'; CREATE VIEW candidate AS FROM '{file}'")
        sides = Side("base", "base", (file,)), Side("candidate", "candidate", (file,))
        report = compare(connection, *sides, Options(key=("id",), ignore=()), tmp_path / "rows.parquet").report
    assert report.rounded == ("wide", "zoned")
    assert "read with fewer digits" in " ".join(list_notes(report))
