"""The sieve of the table diff: files laid out by a key give the same report with it and without it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dartifact.compare.diff import sieve, sorted_files, table
from dartifact.compare.diff.plan import Options
from dartifact.compare.diff.report import DiffReport
from tests.unit.test_table_diff import QUICK, compare_files, side

FEW: Callable[..., Any] = lambda *values: st.one_of(st.none(), st.sampled_from(values))  # noqa: E731
NAN = float("nan")
VALUES: dict[str, tuple[pa.DataType, Any]] = {
    "whole": (pa.int32(), FEW(0, 1, -1)),
    "wide": (pa.decimal128(38, 2), FEW(Decimal("0.00"), Decimal("-0.01"), Decimal("184467440737095516.16"))),
    "real": (pa.float64(), FEW(0.0, -0.0, NAN, 1.5)),
    "text": (pa.string(), FEW("", "a", "null", "a long text that is not inlined")),
    "bytes": (pa.binary(), FEW(b"", b"\0", b"\0\0")),
    "flag": (pa.bool_(), FEW(True, False)),
    "list": (pa.list_(pa.int32()), FEW([], [None], [0], [0, 0])),
    "struct": (pa.struct({"a": pa.int32(), "b": pa.float64()}), FEW({"a": None, "b": NAN}, {"a": 1, "b": None})),
    "map": (pa.map_(pa.string(), pa.int32()), FEW([], [("a", 1)], [("a", None)])),
    "nanos": (pa.timestamp("ns"), FEW(0, 1)),
    "day": (pa.date32(), FEW(date(2021, 1, 1), date(1969, 12, 31))),
}
START = datetime(1969, 12, 30, tzinfo=UTC)
KEYS: dict[str, tuple[pa.DataType, Callable[[int], Any]]] = {
    "bigint": (pa.int64(), lambda n: n - 20),
    "unsigned": (pa.uint64(), lambda n: 2**64 - 100 + n),
    "text": (pa.string(), lambda n: f"{n:03}" if n % 2 else f"{n:03}ä"),
    "decimal": (pa.decimal128(20, 2), lambda n: Decimal(n - 20) / 4),
    "instant": (pa.timestamp("us", "UTC"), lambda n: START + timedelta(hours=n)),
    "day": (pa.date32(), lambda n: date(1969, 12, 1) + timedelta(days=n)),
}


def write(path: Path, key: str, kind: str, rows: dict[int, Any]) -> str:
    key_type, make = KEYS[key]
    columns = {"k": pa.array([make(n) for n in rows], key_type), "v": pa.array(list(rows.values()), VALUES[kind][0])}
    pq.write_table(pa.table(columns), path, row_group_size=7)
    return str(path)


def compare_joined(base: list[str], candidate: list[str], rows_file: Path) -> DiffReport:
    """Compare without the sieve: of sides that are not known to be files."""
    with duckdb.connect() as connection:
        sides = [replace(side(connection, *each), files=()) for each in (("base", base), ("candidate", candidate))]
        return table.compare(connection, *sides, Options(key=("k",)), rows_file).report


def require_sieve(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Any) -> None:
        raise AssertionError("the sides were joined whole")

    monkeypatch.setattr(table._Comparison, "_join", refuse)


@QUICK
@given(st.data())
def test_the_report_is_the_same_with_the_sieve_and_without(data: st.DataObject) -> None:
    key, kind = data.draw(st.sampled_from(sorted(KEYS))), data.draw(st.sampled_from(sorted(VALUES)))
    value = VALUES[kind][1]
    base = {n: data.draw(value) for n in sorted(data.draw(st.sets(st.integers(0, 40))))}
    candidate = {n: data.draw(st.sampled_from([base[n], data.draw(value)])) for n in base if data.draw(st.booleans())}
    candidate |= {n: data.draw(value) for n in data.draw(st.sets(st.integers(0, 40), max_size=5))}
    candidate = {n: candidate[n] for n in sorted(candidate)}
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        files = [
            [write(Path(folder) / f"{name}.parquet", key, kind, rows)]
            for name, rows in (("base", base), ("candidate", candidate))
        ]
        joined = compare_joined(*files, Path(folder) / "joined.parquet")
        patch.setattr(sorted_files, "_MOST_ROWS", data.draw(st.sampled_from([1, 5, 100])))
        patch.setattr(table, "_SIFTED_AT_ONCE", data.draw(st.sampled_from([1, 100])))
        require_sieve(patch)
        assert compare_files(*files, Options(key=("k",)), Path(folder) / "sifted.parquet").report == joined


def make_rows(count: int, start: int = 0) -> pa.Table:
    return pa.table({"k": pa.array(range(start, start + count), pa.int64()), "v": ["same"] * count})


def split(rows: pa.Table, folder: Path) -> list[str]:
    """Write rows to files whose names are in no order of the key."""
    names = ("c", "a", "b")
    for n, name in enumerate(names):
        pq.write_table(rows.slice(n * 10, 10), folder / f"{name}.parquet")
    return [str(folder / f"{name}.parquet") for name in sorted(names)]


def test_files_and_row_groups_are_read_in_the_order_of_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require_sieve(monkeypatch)
    pq.write_table(make_rows(30), tmp_path / "whole.parquet")
    files = split(make_rows(30), tmp_path), [str(tmp_path / "whole.parquet")]
    report = compare_files(*files, Options(key=("k",)), tmp_path / "rows.parquet").report
    assert (report.rows.base, report.rows.unchanged) == (30, 30)


def test_only_what_differs_is_joined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    joined: list[int] = []
    join = table._Comparison._join_sifted

    def count(self: Any, base: list[Any], candidate: list[Any]) -> None:
        joined.extend(batch.num_rows for batches in (base, candidate) for batch in batches)
        join(self, base, candidate)

    monkeypatch.setattr(table._Comparison, "_join_sifted", count)
    pq.write_table(make_rows(1000), tmp_path / "a.parquet")
    pq.write_table(pa.concat_tables([make_rows(500), make_rows(499, 501), make_rows(1, 2000)]), tmp_path / "b.parquet")
    files = [str(tmp_path / "a.parquet")], [str(tmp_path / "b.parquet")]
    report = compare_files(*files, Options(key=("k",)), tmp_path / "rows.parquet").report
    assert (report.rows.added, report.rows.removed, report.rows.changed) == (1, 1, 0)
    assert sum(joined) == 2


UNFIT = {
    "keys in no order": lambda rows: rows.take(pa.array([1, 0, *range(2, 30)])),
    "a key twice": lambda rows: pa.concat_tables([rows, rows.slice(29)]),
    "a key that is missing": lambda rows: pa.concat_tables(
        [rows, pa.table({"k": pa.array([None], pa.int64()), "v": ["null"]})]
    ),
    "another type of the key": lambda rows: rows.set_column(0, "k", rows["k"].cast(pa.int32())),
    "another type of a value": lambda rows: rows.set_column(1, "v", rows["v"].cast(pa.binary())),
    "a column that Parquet's readers take for a path": lambda rows: rows.append_column("a.b", rows["v"]),
    "texts that repeat, kept as categories": lambda rows: rows.set_column(1, "v", rows["v"].dictionary_encode()),
}


@pytest.mark.parametrize("case", UNFIT)
def test_what_does_not_fit_the_sieve_is_joined_whole(case: str, tmp_path: Path) -> None:
    pq.write_table(make_rows(30), tmp_path / "a.parquet")
    pq.write_table(UNFIT[case](make_rows(30)), tmp_path / "b.parquet")
    files = [str(tmp_path / "a.parquet")], [str(tmp_path / "b.parquet")]
    report = compare_files(*files, Options(key=("k",)), tmp_path / "sifted.parquet").report
    assert report == compare_joined(*files, tmp_path / "joined.parquet")


def test_statistics_that_tell_no_order_are_enough_not_to_read(tmp_path: Path) -> None:
    pq.write_table(make_rows(30).take(pa.array([*range(0, 30, 2), *range(1, 30, 2)])), tmp_path / "a.parquet",
                   row_group_size=15)  # fmt: skip
    with pytest.raises(sorted_files.Unfit, match="in no order"):
        sorted_files.SortedFiles([str(tmp_path / "a.parquet")], ["k", "v"])


def test_a_condition_is_not_passed_by(tmp_path: Path) -> None:
    pq.write_table(make_rows(30), tmp_path / "a.parquet")
    pq.write_table(make_rows(20), tmp_path / "b.parquet")
    files = [str(tmp_path / "a.parquet")], [str(tmp_path / "b.parquet")]
    report = compare_files(*files, Options(key=("k",), where="k < 25"), tmp_path / "rows.parquet").report
    assert (report.rows.base, report.rows.removed) == (25, 5)


def test_long_rows_are_read_in_small_batches(tmp_path: Path) -> None:
    pq.write_table(make_rows(3000).set_column(1, "v", pa.array(["x" * 100_000] * 3000)), tmp_path / "a.parquet")
    sizes = [rows.num_rows for rows in sorted_files.SortedFiles([str(tmp_path / "a.parquet")], ["k", "v"]).read()]
    assert (max(sizes), sum(sizes)) == (319, 3000)


def test_row_groups_of_the_same_bytes_are_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    find = sieve._sift_stretch

    def count(base: Any, candidate: Any) -> Any:
        read.append(base.num_rows + candidate.num_rows)
        return find(base, candidate)

    monkeypatch.setattr(sieve, "_sift_stretch", count)
    rows = make_rows(40)
    changed = rows.set_column(1, "v", pa.array(["new" if n == 25 else "same" for n in range(40)]))
    pq.write_table(rows, tmp_path / "a.parquet", row_group_size=10)
    pq.write_table(pa.concat_tables([changed, make_rows(5, 40)]), tmp_path / "b.parquet", row_group_size=10)
    files = [str(tmp_path / "a.parquet")], [str(tmp_path / "b.parquet")]
    report = compare_files(*files, Options(key=("k",)), tmp_path / "rows.parquet").report
    assert (report.rows.base, report.rows.candidate, report.rows.unchanged) == (40, 45, 39)
    assert (report.rows.added, report.rows.changed) == (5, 1)
    assert sum(read) == 10 + 10 + 5
    assert report == compare_joined(*files, tmp_path / "joined.parquet")


def test_keys_of_row_groups_that_are_passed_over_have_to_increase(tmp_path: Path) -> None:
    twice = pa.concat_tables([make_rows(10), make_rows(10, 9)])
    files = []
    for name in "ab":
        pq.write_table(twice, tmp_path / f"{name}.parquet", row_group_size=10)
        files.append([str(tmp_path / f"{name}.parquet")])
    report = compare_files(*files, Options(key=("k",)), tmp_path / "rows.parquet").report
    assert (report.rows.unchanged, report.rows.duplicate_keys_base) == (20, 1)
