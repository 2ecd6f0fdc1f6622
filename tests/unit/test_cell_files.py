"""The file of all differing cells: three formats with one content, whole or not there."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import duckdb
import pytest

from dartifact.cli.text.diff import show_table
from dartifact.commands.diffs.cell_files import require_cells_file, write_cells
from dartifact.commands.diffs.files import diff_files
from dartifact.commands.diffs.store import StoredDiff
from dartifact.compare.diff.plan import Options
from dartifact.domain.errors import UsageError

_PAIR = (
    "(1, 'a', 'x', 1.10, DATE '2020-01-01'), (2, 'b,\"', NULL, 2.20, DATE '2020-01-02'), (3, 'c', '', 3.30, NULL)",
    "(1, 'a', 'y', 1.10, DATE '2020-01-01'), (2, 'b,\"', '=1+1', 2.20, NULL), (4, '', NULL, 3.30, NULL)",
)


def compare(
    folder: Path, *key: str, pair: tuple[str, str] = _PAIR, columns: str = "id, part, note, price, day"
) -> StoredDiff:
    for name, values in zip("ab", pair, strict=True):
        query = f"SELECT * FROM (VALUES {values}) t({columns})"
        duckdb.execute(f"COPY ({query}) TO '{folder / name}.parquet' (FORMAT parquet)")
    return diff_files(folder, str(folder / "a.parquet"), str(folder / "b.parquet"), Options(key=key))


def read_parquet(file: Path) -> list[dict[str, Any]]:
    return duckdb.execute(f"SELECT * FROM '{file}'").to_arrow_table().to_pylist()


def read_lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize(("key", "count"), [(("id",), 3 + 4 + 4), (("id", "part"), 3 + 3 + 3)])
def test_the_three_formats_hold_the_same_cells(tmp_path: Path, key: tuple[str, ...], count: int) -> None:
    stored = compare(tmp_path, *key)
    for ending in ("parquet", "csv", "jsonl", "NDJSON"):
        write_cells(stored, tmp_path / f"cells.{ending}")
    cells = read_parquet(tmp_path / "cells.parquet")
    assert len(cells) == count
    assert read_lines(tmp_path / "cells.jsonl") == read_lines(tmp_path / "cells.NDJSON") == cells
    with (tmp_path / "cells.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [json.loads(row["key"]) for row in rows] == [cell["key"] for cell in cells]
    # null is an empty field, which Python's reader cannot tell from an empty text
    assert [{**row, "key": ""} for row in rows] == [
        {name: "" if value is None or name == "key" else value for name, value in cell.items()} for cell in cells
    ]
    quoted = duckdb.execute(
        "SELECT base, candidate FROM read_csv(?, all_varchar = true, allow_quoted_nulls = false)",
        [str(tmp_path / "cells.csv")],
    ).fetchall()
    assert quoted == [(cell["base"], cell["candidate"]) for cell in cells]


def test_a_key_that_json_cannot_hold_exactly_is_text_in_it(tmp_path: Path) -> None:
    pair = ("('nan'::DOUBLE, 1.10, true, 0)", "('nan'::DOUBLE, 1.10, true, 1)")
    stored = compare(tmp_path, "f", "d", "b", pair=pair, columns="f, d, b, v")
    write_cells(stored, tmp_path / "cells.jsonl")
    assert [cell["key"] for cell in read_lines(tmp_path / "cells.jsonl")] == [{"f": "nan", "d": "1.10", "b": True}]


def test_rows_without_a_key_have_none_in_any_format(tmp_path: Path) -> None:
    stored = compare(tmp_path, pair=("(1), (1)", "(1), (2), (2)"), columns="v")
    for ending in ("parquet", "jsonl", "csv"):
        write_cells(stored, tmp_path / f"cells.{ending}")
    assert {cell["key"] for cell in read_parquet(tmp_path / "cells.parquet")} == {None}
    assert {cell["key"] for cell in read_lines(tmp_path / "cells.jsonl")} == {None}
    assert [row.key for row in show_table(stored, 1).rows] == ["row 1", "row 2", "row 3"]


@pytest.mark.parametrize("name", ["cells.txt", "cells", "cells.parquet.gz", "csv"])
def test_another_ending_is_refused_with_the_three_there_are(name: str) -> None:
    with pytest.raises(UsageError) as refused:
        require_cells_file(Path(name))
    assert str(refused.value.hint) == "end it in .parquet, .csv or .jsonl"


def test_a_folder_that_is_not_there_or_takes_no_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder.csv").mkdir()
    for out in (tmp_path / "no" / "c.csv", tmp_path / "file" / "c.csv", tmp_path / "folder.csv", Path("/proc/c.csv")):
        with pytest.raises(UsageError, match=out.name):
            require_cells_file(out)
    require_cells_file(tmp_path / "c.csv")
    assert {path.name for path in tmp_path.iterdir()} == {"file", "folder.csv"}


def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = compare(tmp_path, "id")
    folder = tmp_path / "out"
    folder.mkdir()
    out = folder / "cells.csv"
    out.write_text("old")

    def fail(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device", str(self))

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(UsageError, match=r"cells\.csv cannot be written"):
        write_cells(stored, out)
    assert [path.name for path in folder.iterdir()] == ["cells.csv"]
    assert out.read_text() == "old"


def test_the_page_shows_the_first_rows_and_cells_and_counts_the_others(tmp_path: Path) -> None:
    names = [f"c{n}" for n in range(30)]
    values = [", ".join(f"({row}, {', '.join([str(side)] * 30)})" for row in range(300)) for side in (1, 2)]
    stored = compare(tmp_path, "id", pair=(values[0], values[1]), columns=", ".join(["id", *names]))
    alone, among_many = show_table(stored, 1), show_table(stored, 1000)
    assert (len(alone.rows), len(among_many.rows)) == (200, 20)
    assert {(len(row.cells), row.more, row.kind) for row in alone.rows} == {(20, 10, "changed")}
    assert alone.rows[0].key == "0"
