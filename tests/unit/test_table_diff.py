"""The table diff against a naive oracle over random tables, and by what has to hold of any two tables."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from dartifact.compare.diff import sql, stretches
from dartifact.compare.diff.columns import Column, Tolerance
from dartifact.compare.diff.figures import select_cells
from dartifact.compare.diff.plan import Options, Side
from dartifact.compare.diff.report import DiffReport, Renamed, Retyped
from dartifact.compare.diff.table import Diff, compare
from dartifact.domain.errors import UsageError
from tests.support.diff_oracle import Row, diff_naively

ID = Column("id", "id", "BIGINT", "BIGINT")
QUICK = settings(
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
TYPES: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "i": (pa.int64(), st.integers(0, 9)),
    "s": (pa.string(), st.sampled_from(["", "a", "NA", "null", "a long text that is not inlined", "ä"])),
    "f": (pa.float64(), st.sampled_from([0.0, -0.0, 1.5, float("nan"), float("inf"), -float("inf")])),
    "d": (pa.decimal128(9, 2), st.sampled_from([Decimal("0.00"), Decimal("1.10"), Decimal("-1.10")])),
    "b": (pa.bool_(), st.booleans()),
}


def nullable(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), values)


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[Row], list[Row], tuple[str, ...]]:
    """Draw two sides that resemble each other, and a key that may be repeated, null or missing."""
    row = st.fixed_dictionaries({name: nullable(values) for name, (_, values) in TYPES.items()})
    common = draw(st.lists(row, max_size=8))
    base = common + draw(st.lists(row, max_size=4))
    candidate = [each | draw(st.sampled_from([{}, {}, draw(row), {"f": None}])) for each in common]
    candidate += draw(st.lists(row, max_size=4))
    key = draw(st.sampled_from([("i",), ("i", "s"), ("s", "f"), ("f",), ()]))
    return base, draw(st.permutations(candidate)), key


def write(path: Path, rows: Sequence[Row], types: dict[str, pa.DataType] | None = None, group: int = 1000) -> str:
    types = types or {name: kind for name, (kind, _) in TYPES.items()}
    columns = {name: pa.array([row[name] for row in rows], kind) for name, kind in types.items()}
    pq.write_table(pa.table(columns), path, row_group_size=group)
    return str(path)


def side(connection: duckdb.DuckDBPyConnection, name: str, files: Sequence[str]) -> Side:
    connection.execute(f"CREATE OR REPLACE VIEW {name} AS SELECT * FROM read_parquet({list(files)})")
    return Side(name, name, tuple(files))


def compare_files(base: Sequence[str], candidate: Sequence[str], options: Options, rows_file: Path) -> Diff:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        sides = (side(connection, "base", base), side(connection, "candidate", candidate))
        return compare(connection, *sides, options, rows_file)


def compare_rows(
    base: Sequence[Row],
    candidate: Sequence[Row],
    options: Options,
    types: Sequence[dict[str, pa.DataType] | None] = (None, None),
) -> DiffReport:
    with tempfile.TemporaryDirectory() as folder:
        a, b = Path(folder) / "a.parquet", Path(folder) / "b.parquet"
        files = write(a, base, types[0]), write(b, candidate, types[1])
        return compare_files(files[:1], files[1:], options, Path(folder) / "rows.parquet").report


@QUICK
@given(tables())
def test_counts_are_those_of_the_oracle(drawn: tuple[list[Row], list[Row], tuple[str, ...]]) -> None:
    base, candidate, key = drawn
    report = compare_rows(base, candidate, Options(key=key))
    columns = [name for name in TYPES if name not in report.key]
    expected = diff_naively(base, candidate, report.key, columns)
    assert (report.rows.added, report.rows.removed, report.rows.changed, report.rows.unchanged) == (
        expected.added, expected.removed, expected.changed, expected.unchanged
    )  # fmt: skip
    assert (report.rows.duplicate_keys_base, report.rows.duplicate_keys_candidate) == expected.repeated
    for column in report.columns:
        assert column.changed == expected.cells[column.name]
        assert column.null_to_value == expected.null_to_value[column.name]
        assert column.value_to_null == expected.value_to_null[column.name]


@QUICK
@given(tables())
def test_a_table_does_not_differ_from_itself_in_another_order(
    drawn: tuple[list[Row], list[Row], tuple[str, ...]],
) -> None:
    base, _, key = drawn
    report = compare_rows(base, base[::-1], Options(key=key))
    assert report.same
    assert report.rows.unchanged == len(base)


@QUICK
@given(tables())
def test_swapped_sides_swap_added_and_removed(drawn: tuple[list[Row], list[Row], tuple[str, ...]]) -> None:
    base, candidate, key = drawn
    there, back = compare_rows(base, candidate, Options(key=key)), compare_rows(candidate, base, Options(key=key))
    assert (there.rows.added, there.rows.removed) == (back.rows.removed, back.rows.added)
    assert (there.rows.changed, there.rows.unchanged) == (back.rows.changed, back.rows.unchanged)
    assert [(c.changed, c.null_to_value) for c in there.columns] == [(c.changed, c.value_to_null) for c in back.columns]


@QUICK
@given(tables(), st.integers(0, 12), st.integers(1, 3))
def test_splitting_files_changes_nothing(
    drawn: tuple[list[Row], list[Row], tuple[str, ...]], cut: int, group: int
) -> None:
    base, candidate, key = drawn
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        whole = [write(place / "a.parquet", base)], [write(place / "b.parquet", candidate)]
        parts = [
            write(place / "b1.parquet", candidate[:cut], group=group),
            write(place / "b2.parquet", candidate[cut:]),
        ]
        one = compare_files(*whole, Options(key=key), place / "rows.parquet")
        two = compare_files(whole[0], parts, Options(key=key), place / "rows2.parquet")
        assert str(one.report).replace("-0.0", "0.0") == str(two.report).replace("-0.0", "0.0")
        assert read_all_cells(one, place / "rows.parquet") == read_all_cells(two, place / "rows2.parquet")


def read_all_cells(diff: Diff, rows_file: Path) -> list[str]:
    """Return the cells as text: NaN is no equal of itself here, and equal zeros may be told with either sign."""
    stored = diff.stored
    query = select_cells(f"read_parquet('{rows_file}')", stored.key, stored.columns)
    rows = duckdb.execute(f"SELECT * FROM ({query}) ORDER BY row, place").fetchall()
    return [str(row).replace("-0.0", "0.0") for row in rows]


@QUICK
@given(tables(), st.sampled_from(["1", "0.05", "10%"]))
def test_numbers_within_the_tolerance_are_equal(
    drawn: tuple[list[Row], list[Row], tuple[str, ...]], spelled: str
) -> None:
    base, candidate, key = drawn
    tolerance = Tolerance.parse(spelled)
    report = compare_rows(base, candidate, Options(key=key, tolerance=tolerance))

    def is_near(a: Any, b: Any) -> bool:
        if any(isinstance(each, str | bool) or each is None for each in (a, b)) or "inf" in f"{a}{b}":
            return False
        limit = float(tolerance.amount) * (max(abs(float(a)), abs(float(b))) if tolerance.relative else 1)
        return abs(float(a) - float(b)) <= limit

    columns = [name for name in TYPES if name not in report.key]
    expected = diff_naively(base, candidate, report.key, columns, is_near)
    assert (report.rows.changed, report.rows.unchanged) == (expected.changed, expected.unchanged)


def test_a_change_in_any_stretch_of_a_sorted_key_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stretches, "ROWS", 100)
    types = {"id": pa.int64(), "v": pa.int64()}
    base: list[Row] = [{"id": None, "v": 0}, *({"id": n, "v": n} for n in range(1000))]
    candidate = [{**row, "v": -1} if row["id"] in (None, 0, 499, 999) else row for row in base if row["id"] != 500]
    files = [write(tmp_path / "a.parquet", base, types, 50)], [write(tmp_path / "b.parquet", candidate, types, 50)]
    with duckdb.connect() as connection:
        assert len(stretches.find_stretches(connection, ID, *files)) > 1
    report = compare_files(*files, Options(key=("id",)), tmp_path / "rows.parquet").report
    assert (report.rows.changed, report.rows.removed, report.rows.unchanged) == (4, 1, 996)


def test_a_key_that_is_not_laid_out_is_read_in_one_stretch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stretches, "ROWS", 100)
    types = {"id": pa.int64(), "v": pa.int64()}
    base: list[Row] = [{"id": n * 7919 % 1000, "v": n} for n in range(1000)]
    file = [write(tmp_path / "a.parquet", base, types, 50)]
    with duckdb.connect() as connection:
        assert stretches.find_stretches(connection, ID, file, file) == ("true",)


def test_the_same_files_on_both_sides_are_not_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> str:
        raise AssertionError("their values were read")

    monkeypatch.setattr(sql, "insert_joined", refuse)
    types = {"id": pa.int64(), "v": pa.int64()}
    file = [write(tmp_path / "a.parquet", [{"id": n, "v": n} for n in range(9)], types)]
    report = compare_files(file, file, Options(key=("id",)), tmp_path / "rows.parquet").report
    assert report.same
    assert (report.rows.base, report.rows.unchanged) == (9, 9)


def test_a_column_with_another_name_and_the_same_values_is_renamed() -> None:
    base: list[Row] = [{"id": n, "old": f"v{n}", "gone": n} for n in range(5)]
    candidate: list[Row] = [{"id": n, "new": f"v{n}", "come": -n} for n in range(1, 6)]
    types = ({"id": pa.int64(), "old": pa.string(), "gone": pa.int64()},
             {"id": pa.int64(), "new": pa.string(), "come": pa.int64()})  # fmt: skip
    schema = compare_rows(base, candidate, Options(key=("id",)), types).schema
    assert schema.renamed == (Renamed("old", "new"),)
    assert (schema.added, schema.removed) == (("come",), ("gone",))


def test_a_column_that_is_null_on_both_sides_is_not_taken_for_renamed() -> None:
    types = ({"id": pa.int64(), "old": pa.string()}, {"id": pa.int64(), "new": pa.string()})
    schema = compare_rows([{"id": 1, "old": None}], [{"id": 1, "new": None}], Options(key=("id",)), types).schema
    assert schema.renamed == ()
    assert (schema.added, schema.removed) == (("new",), ("old",))


@pytest.mark.parametrize(
    ("old", "new", "before", "after", "same"),
    [
        (pa.int32(), pa.int64(), 1, 1, True),
        (pa.int64(), pa.decimal128(9, 2), 1, Decimal("1.00"), True),
        (pa.decimal128(9, 1), pa.decimal128(12, 3), Decimal("1.1"), Decimal("1.100"), True),
        (pa.decimal128(9, 2), pa.float64(), Decimal("1.10"), 1.1, True),
        (pa.float32(), pa.float64(), 0.1, 0.1, False),
        (pa.int64(), pa.string(), 7, "7", True),
        (pa.int64(), pa.string(), 7, "007", False),
        (pa.timestamp("us"), pa.timestamp("us", tz="Europe/Berlin"), 0, 0, True),
        (pa.timestamp("us", tz="UTC"), pa.timestamp("us", tz="Asia/Tokyo"), 0, 0, True),
        (pa.uint64(), pa.int64(), 2**63, -(2**63), False),
    ],
)
def test_values_of_two_types_are_compared_in_the_documented_way(
    old: pa.DataType, new: pa.DataType, before: Any, after: Any, same: bool
) -> None:
    types = ({"id": pa.int64(), "v": old}, {"id": pa.int64(), "v": new})
    report = compare_rows([{"id": 1, "v": before}], [{"id": 1, "v": after}], Options(key=("id",)), types)
    assert report.rows.changed == (not same)
    told = [each.name for each in report.schema.retyped]
    assert told == (["v"] if not (pa.types.is_timestamp(old) and old.tz) else [])


def test_a_retyped_key_still_matches() -> None:
    types = ({"id": pa.int32(), "v": pa.int64()}, {"id": pa.string(), "v": pa.int64()})
    report = compare_rows([{"id": 1, "v": 1}], [{"id": "1", "v": 2}], Options(key=("id",)), types)
    assert report.rows.changed == 1
    assert report.schema.retyped == (Retyped("id", "INTEGER", "VARCHAR"),)


def test_a_key_is_suggested_and_said() -> None:
    types = {"n": pa.float64(), "order_id": pa.int64(), "line": pa.int64()}
    base: list[Row] = [{"n": 0.5, "order_id": n, "line": n} for n in range(3)]
    report = compare_rows(base, base, Options(), (types, types))
    assert (report.key, report.key_origin) == (("order_id",), "suggested")


def test_a_key_of_several_columns_is_suggested_where_no_single_one_is() -> None:
    types = {"note": pa.string(), "line": pa.int64(), "order_id": pa.int64(), "at": pa.timestamp("us", tz="UTC")}
    base: list[Row] = [{"note": "x", "line": n % 3, "order_id": n // 3, "at": n // 2} for n in range(9)]
    changed = [*base[:-1], base[-1] | {"note": "y"}]
    report = compare_rows(base, changed, Options(), (types, types))
    assert (report.key, report.key_origin) == (("order_id", "line"), "suggested")
    assert (report.rows.changed, report.rows.unchanged) == (1, 8)


@pytest.mark.parametrize("missing", ["order_id", "line"])
def test_a_column_with_nulls_is_part_of_no_suggested_key(missing: str) -> None:
    types = {"order_id": pa.int64(), "line": pa.int64()}
    base: list[Row] = [{"order_id": n // 2, "line": n % 2} for n in range(4)]
    base[0] = base[0] | {missing: None}
    assert compare_rows(base, base, Options(), (types, types)).key == ()


def test_times_are_no_part_of_a_suggested_key() -> None:
    types = {"line": pa.int64(), "at": pa.timestamp("us", tz="UTC")}
    base: list[Row] = [{"line": n % 2, "at": n // 2} for n in range(4)]
    assert compare_rows(base, base, Options(), (types, types)).key == ()


def test_without_any_key_rows_are_compared_as_multisets() -> None:
    types = {"v": pa.int64()}
    report = compare_rows([{"v": 1}, {"v": 1}, {"v": 2}], [{"v": 1}, {"v": 3}], Options(), (types, types))
    assert report.key_origin == "none"
    assert (report.rows.added, report.rows.removed, report.rows.unchanged) == (1, 2, 1)


def test_ignored_columns_are_not_compared_on_either_side() -> None:
    base: list[Row] = [{"id": 1, "v": 1, "w": 1}]
    types = ({"id": pa.int64(), "v": pa.int64(), "w": pa.int64()}, {"id": pa.int64(), "v": pa.int64()})
    report = compare_rows(base, [{"id": 1, "v": 2}], Options(key=("id",), ignore=("v", "w")), types)
    assert report.same


def test_columns_in_another_order_are_told_and_are_no_difference() -> None:
    types = ({"id": pa.int64(), "v": pa.int64()}, {"v": pa.int64(), "id": pa.int64()})
    report = compare_rows([{"id": 1, "v": 1}], [{"id": 1, "v": 1}], Options(key=("id",)), types)
    assert report.schema.reordered == ("id", "v")
    assert report.same


def test_a_key_that_is_no_column_of_both_sides_is_refused_with_what_there_is() -> None:
    with pytest.raises(UsageError, match="the key nope is not a column") as refused:
        compare_rows([], [], Options(key=("nope",)))
    assert "i, s, f" in str(refused.value.hint)


@pytest.mark.parametrize("text", ["x", "-1", "nan", "inf%", ""])
def test_a_tolerance_that_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        Tolerance.parse(text)


@QUICK
@given(tables())
def test_a_report_reads_back_from_its_json(drawn: tuple[list[Row], list[Row], tuple[str, ...]]) -> None:
    base, candidate, key = drawn
    report = compare_rows(base, candidate, Options(key=key))
    assert DiffReport.from_json(report.to_json()) == report


def test_names_that_are_hostile_to_sql_are_only_names() -> None:
    names = {'k"0': pa.int64(), "k0": pa.int64(), "b0": pa.int64(), "v'0": pa.int64(), "here": pa.int64()}
    base: list[Row] = [dict.fromkeys(names, n) for n in range(3)]
    candidate = [{**row, "here": 9} for row in base]
    report = compare_rows(base, candidate, Options(key=('k"0',)), (names, names))
    assert {column.name: column.changed for column in report.columns} == {"k0": 0, "b0": 0, "v'0": 0, "here": 3}
