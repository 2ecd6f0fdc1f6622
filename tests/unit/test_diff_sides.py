"""What the sides of a diff of files name, and which columns their folders add."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest

from dartifact.adapters.tables.csv_files import CsvOptions
from dartifact.adapters.tables.text_types import guess_types
from dartifact.commands.diffs.cells import read_page
from dartifact.commands.diffs.files import diff_files, plan_files
from dartifact.commands.diffs.sides import are_files, find_tables, read_folders
from dartifact.compare.diff.columns import Tolerance
from dartifact.compare.diff.plan import Options
from dartifact.compare.diff.report import LoneTables
from dartifact.domain.errors import NotFound, UsageError

BY_ID = Options(key=("id",))


def write(path: Path, text: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return str(path)


def write_parquet(path: Path, query: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    duckdb.execute(f"COPY ({query}) TO '{path}' (FORMAT parquet)")
    return str(path)


@pytest.mark.parametrize(
    ("base", "candidate", "answer"),
    [
        ("a.csv", "main", True),
        ("main", "some/where", True),
        ("x*", "main", True),
        ("here", "main", True),
        ("old.csv.zst", "new.PARQUET", True),
        ("main", "env-staging", False),
        ("production", "3f2a9c", False),
        ("orders-dan-20210101T0000Z-1", "main", False),
    ],
)
def test_one_path_makes_files_of_both_sides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, base: str, candidate: str, answer: bool
) -> None:
    for folder in ("here", "main"):  # a folder of the name of a branch does not hide it
        (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path)
    assert are_files(base, candidate) is answer


@pytest.mark.parametrize(
    ("pattern", "path", "columns"),
    [
        ("d/run=1/a.csv", "d/run=1/a.csv", {}),
        ("d/run=1/*.csv", "d/run=1/a.csv", {}),
        ("d/run=*/*.csv", "d/run=1/a.csv", {"run": "1"}),
        ("d/run=1/day=*/a.csv", "d/run=1/day=x%20y/a.csv", {"day": "x y"}),
        ("d/*/run=1/*.csv", "d/day=2/run=1/a.csv", {"day": "2"}),
        ("d/**/*.csv", "d/a=1/plain/b=__HIVE_DEFAULT_PARTITION__/x.csv", {"a": "1", "b": None}),
        ("a=1/**/b=2/*.csv", "a=1/c=3/b=2/x.csv", {"c": "3"}),
        ("d/**/*.csv", "d/x.csv", {}),
        ("k=*.csv", "k=1.csv", {}),
    ],
)
def test_folders_add_what_a_wildcard_stands_for(pattern: str, path: str, columns: dict[str, str | None]) -> None:
    assert read_folders(pattern, path) == columns


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_folder_never_replaces_a_column_of_a_file(tmp_path: Path, ending: str) -> None:
    for side, status in (("x", "open"), ("y", "closed")):
        path = tmp_path / "status=a" / side / f"1.{ending}"
        if ending == "csv":
            write(path, f"id,status\n1,{status}\n")
        else:
            write_parquet(path, f"SELECT 1 AS id, '{status}' AS status")
    for pattern in ("status=a/{}/1.{}", "status=*/{}/*.{}", "**/{}/*.{}"):
        sides = [str(tmp_path / pattern.format(side, ending)) for side in ("x", "y")]
        stored = diff_files(tmp_path, *sides, BY_ID)
        assert [(cell.base, cell.candidate) for cell in read_page(stored)] == [("open", "closed")]


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_folder_that_was_named_is_no_column(tmp_path: Path, ending: str) -> None:
    for run in (1, 2):
        path = tmp_path / f"run={run}" / f"1.{ending}"
        write(path, "id,v\n1,x\n") if ending == "csv" else write_parquet(path, "SELECT 1 AS id, 'x' AS v")
    for name in (f"1.{ending}", f"*.{ending}"):
        assert diff_files(tmp_path, f"{tmp_path}/run=1/{name}", f"{tmp_path}/run=2/{name}", BY_ID).diff.report.same


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_folders_that_a_glob_spans_are_columns(tmp_path: Path, ending: str) -> None:
    for side, last in (("x", "1"), ("y", "2")):
        for day in ("2024-01-01", "2024-01-02"):
            path = tmp_path / side / f"day={day}" / f"part[1].{ending}"
            value = last if day.endswith("2") else "0"
            if ending == "csv":
                write(path, f"id,v,path,filename\n1,{value},p,f\n")
            else:
                write_parquet(path, f"SELECT 1 AS id, '{value}' AS v, 'p' AS path, 'f' AS filename")
    sides = [f"{tmp_path}/{side}/*/*.{ending}" for side in ("x", "y")]
    stored = diff_files(tmp_path, *sides, Options(key=("id", "day")))
    assert stored.diff.report.rows.changed == 1
    [cell] = read_page(stored)
    assert (str(cell.key["day"]), cell.column, cell.base, cell.candidate) == ("2024-01-02", "v", "1", "2")


def test_files_of_one_glob_are_read_by_the_names_of_their_columns(tmp_path: Path) -> None:
    write(tmp_path / "a1.csv", "id;v\n1;x\n")
    write(tmp_path / "a2.csv", "v,w,id\ny,z,2\n")
    whole = write(tmp_path / "b.csv", "id,v,w\n2,y,z\n1,x,\n")
    assert diff_files(tmp_path, f"{tmp_path}/a*.csv", whole, BY_ID).diff.report.same


def test_tables_of_two_folders_are_compared_by_name(tmp_path: Path) -> None:
    write(tmp_path / "x" / "orders.csv", "id,v\n1,a\n")
    write_parquet(tmp_path / "y" / "orders.parquet", "SELECT 1 AS id, 'b' AS v")
    write(tmp_path / "x" / "old.csv.gz", "")
    write(tmp_path / "x" / "readme.md", "no table")
    write(tmp_path / "y" / "new.tsv", "")
    found = plan_files(tmp_path, f"{tmp_path}/x", f"{tmp_path}/y/", "", BY_ID)
    [(_, compare)] = found.tables
    stored = compare()
    assert (stored.diff.report.table, stored.diff.report.rows.changed) == ("orders", 1)
    assert found.lone == LoneTables(("new",), ("old",))
    one = plan_files(tmp_path, f"{tmp_path}/x", f"{tmp_path}/y", "orders", BY_ID)
    assert ([name for name, _ in one.tables], bool(one.lone)) == (["orders"], False)


def test_tables_on_one_side_only_are_a_difference(tmp_path: Path) -> None:
    write(tmp_path / "x" / "t.csv", "id\n1\n")
    write(tmp_path / "y" / "t.csv", "id\n1\n")
    assert not plan_files(tmp_path, f"{tmp_path}/x", f"{tmp_path}/y", "", BY_ID).lone
    write(tmp_path / "y" / "u.csv", "id\n1\n")
    assert plan_files(tmp_path, f"{tmp_path}/x", f"{tmp_path}/y", "", BY_ID).lone == LoneTables(("u",))


def test_an_error_in_a_folder_names_the_table(tmp_path: Path) -> None:
    for side in ("x", "y"):
        write(tmp_path / side / "t.csv", "id,v\n1,a\n")
    [(_, compare)] = plan_files(tmp_path, f"{tmp_path}/x", f"{tmp_path}/y", "", Options(key=("nope",))).tables
    with pytest.raises(UsageError, match=r"^t: the key nope is not a column of both sides$"):
        compare()


@pytest.mark.parametrize(
    ("base", "candidate", "table", "message"),
    [
        ("x", "x/t.csv", "", "x is a folder and x/t.csv is none"),
        ("x/t.csv", "x", "", "x is a folder and x/t.csv is none"),
        ("x", "main", "", "there is no file or folder main; a file is compared with files only"),
        ("x/t.csv", "x/tt.csv", "", "there is no file or folder x/tt.csv"),
        ("x/t*.tsv", "x/t.csv", "", "there is no file x/t"),
        ("empty", "x", "", "empty holds no Parquet or CSV file"),
        ("x", "twice", "", "twice holds two files of the table t"),
        ("x", "x", "nope", "there is no table nope in x"),
        ("x/t.csv", "x/t.csv", "t", "--table t is for folders and the lake"),
        ("x/*", "x/*", "", "names both CSV and Parquet files"),
    ],
)
def test_sides_that_cannot_be_compared_are_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, base: str, candidate: str, table: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("x/t.csv", "x/p.parquet", "twice/t.csv", "twice/t.tsv", "empty/readme.md"):
        write(tmp_path / name, "id\n1\n")
    with pytest.raises(UsageError) as error:
        find_tables(base, candidate, table)
    assert message in str(error.value)
    assert isinstance(error.value, NotFound) == message.startswith("there is no")


@pytest.mark.parametrize(
    ("options", "csv", "message"),
    [
        (Options(tolerance=Tolerance.parse("0.1")), CsvOptions(), "--tolerance is for numbers, and a CSV holds texts"),
        (Options(), CsvOptions(delimiter=";"), "line 2: 2 fields, where the header has 1"),
    ],
)
def test_options_that_do_not_fit_a_csv_are_refused(
    tmp_path: Path, options: Options, csv: CsvOptions, message: str
) -> None:
    path = write(tmp_path / "a.csv", "id,v\n1;a,b\n")
    with pytest.raises(UsageError, match=message):
        diff_files(tmp_path, path, path, options, csv)


def test_options_of_csv_are_refused_for_parquet(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", "SELECT 1 AS id")
    with pytest.raises(UsageError, match="are for CSV files"):
        diff_files(tmp_path, path, path, BY_ID, CsvOptions(infer_types=True))


def test_tolerance_counts_where_types_are_guessed(tmp_path: Path) -> None:
    a, b = (write(tmp_path / name, f"id,v\n1,{value}\n") for name, value in (("a.csv", "1.0"), ("b.csv", "1.05")))
    options = Options(key=("id",), tolerance=Tolerance.parse("0.1"))
    assert diff_files(tmp_path, a, b, options, CsvOptions(infer_types=True)).diff.report.same


def test_another_delimiter_is_another_question(tmp_path: Path) -> None:
    a = write(tmp_path / "a.csv", "id;v,w\n1;a,b\n")
    b = write(tmp_path / "b.csv", "id;v,w\n1;a,c\n")
    names = [
        diff_files(tmp_path, a, b, Options(), CsvOptions(delimiter=delimiter)).diff.report.columns[-1].name
        for delimiter in (";", ",")
    ]
    assert names == ["v,w", "w"]


@pytest.mark.parametrize(
    ("texts", "kind"),
    [
        (["1", "-2", None], "BIGINT"),
        (["9223372036854775808"], "DECIMAL(38,0)"),
        (["1", "2.5e3", "nan"], "DOUBLE"),
        (["1_000"], "VARCHAR"),
        (["true", "FALSE"], "BOOLEAN"),
        (["2024-02-29"], "DATE"),
        (["2024-02-30"], "VARCHAR"),
        (["2024-02-29T10:00:00Z", "2024-02-29 10:00"], "TIMESTAMP"),
        (["2024-02-29 10:00:00.123456789"], "VARCHAR"),
        (["10:00"], "TIME"),
        (["1", ""], "VARCHAR"),
        ([None], "VARCHAR"),
        (["1", "x"], "VARCHAR"),
    ],
)
def test_types_are_guessed_of_all_texts(texts: Sequence[str | None], kind: str) -> None:
    rows: list[Any] = [[text] for text in texts]
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE t (v VARCHAR)")
        connection.executemany("INSERT INTO t VALUES (?)", rows)
        assert guess_types(connection, "t") == {"v": kind}


@pytest.mark.parametrize(
    ("first", "last", "kind"), [("NULL", "5", "BIGINT"), ("'5'", "x", "VARCHAR"), ("'5'", "0.5", "DOUBLE")]
)
def test_types_are_guessed_of_the_last_text_as_of_the_first(first: str, last: str, kind: str) -> None:
    with duckdb.connect() as connection:
        connection.execute(
            f"CREATE TABLE t AS SELECT {first}::VARCHAR AS v FROM range(20000) UNION ALL SELECT '{last}'"
        )
        assert guess_types(connection, "t") == {"v": kind}
