"""The verb `diff` on several tables: what it prints, when, and how it ends."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import typer

from dartifact.cli.actions import diff as action
from dartifact.cli.exit_codes import DIFFERENT
from dartifact.cli.options import DiffOutput
from dartifact.commands.diffs.files import diff_files
from dartifact.commands.diffs.planned import PlannedDiffs
from dartifact.commands.diffs.store import StoredDiff
from dartifact.compare.diff.plan import Options
from dartifact.domain.errors import NotFound, UsageError


@pytest.fixture
def planned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Callable[[], StoredDiff]]]:
    """Let the verb compare two tables, `orders` with a change and `stock` without, instead of those of a lake."""
    for name, text in (("a", "id,v\n1,x\n"), ("b", "id,v\n1,y\n")):
        (tmp_path / f"{name}.csv").write_text(text)

    def compare(table: str, candidate: str) -> StoredDiff:
        sides = str(tmp_path / "a.csv"), str(tmp_path / candidate)
        stored = diff_files(tmp_path, *sides, Options(key=("id",)))
        return replace(stored, diff=replace(stored.diff, report=replace(stored.diff.report, table=table)))

    tables: list[tuple[str, Callable[[], StoredDiff]]] = [
        ("stock", partial(compare, "stock", "a.csv")),
        ("orders", partial(compare, "orders", "b.csv")),
    ]
    monkeypatch.setattr(action, "opened", lambda: nullcontext((None, None)))
    monkeypatch.setattr(action, "plan_in_lake", lambda *_: PlannedDiffs(tuple(tables)))
    return tables


def run(output: DiffOutput, rows: Path | None = None) -> int:
    try:
        action.diff("d1", "", "", "", None, None, None, "", "", "", None, False, "", "utf-8", rows, output)
    except typer.Exit as ended:
        return ended.exit_code
    return 0


@pytest.mark.usefixtures("planned")
@pytest.mark.parametrize("output", list(DiffOutput))
def test_one_table_that_differs_decides_and_progress_is_told_beside_the_answer(
    output: DiffOutput, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(output) == DIFFERENT
    told = capsys.readouterr()
    assert told.err.splitlines() == ["comparing stock, table 1 of 2", "comparing orders, table 2 of 2"]
    if output is DiffOutput.JSON:
        assert [each["table"] for each in json.loads(told.out)["tables"]] == ["stock", "orders"]
    else:
        assert "2 tables: 1 different, 1 same" in told.out


def test_json_of_a_table_is_printed_before_the_next_one_is_compared_and_has_no_end_when_that_fails(
    planned: list[tuple[str, Callable[[], StoredDiff]]], capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> StoredDiff:
        raise NotFound("gone")

    planned[1] = ("orders", fail)
    with pytest.raises(NotFound):
        run(DiffOutput.JSON)
    told = capsys.readouterr().out
    assert '"table": "stock"' in told
    with pytest.raises(json.JSONDecodeError):
        json.loads(told)


def test_rows_of_several_tables_are_refused_before_any_is_compared(
    planned: Sequence[object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UsageError, match="--rows is for one table"):
        run(DiffOutput.TEXT, tmp_path / "cells.csv")
    assert capsys.readouterr().err == ""
    assert len(planned) == 2


def test_the_page_has_the_rows_of_a_table_that_the_store_has_dropped_meanwhile(
    planned: list[tuple[str, Callable[[], StoredDiff]]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, compare = planned[0]

    def drop_others() -> StoredDiff:
        for file in (tmp_path / "diffs").glob("*/rows.parquet"):
            file.unlink()
        return compare()

    planned[:] = [planned[1], ("stock", drop_others)]
    assert run(DiffOutput.HTML) == DIFFERENT
    assert "All 1 differing rows" in capsys.readouterr().out
