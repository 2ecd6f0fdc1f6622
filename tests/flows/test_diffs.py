"""Diffs on the real lake, of files, and what is stored of them."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from dartifact.adapters.lakefs.lake import Lake
from dartifact.cli.actions.diff import plan_in_lake
from dartifact.commands.diffs import files as file_diffs
from dartifact.commands.diffs import run as diffs
from dartifact.commands.diffs.cell_files import write_cells
from dartifact.commands.diffs.cells import CellFilter, RowDiff, read_page, read_row_page
from dartifact.commands.diffs.refs import resolve_ref
from dartifact.commands.diffs.store import DiffStore
from dartifact.commands.production.promote import promote
from dartifact.commands.staging.stage import stage
from dartifact.compare.diff.plan import Options
from dartifact.compare.diff.rendering.markdown import render_markdown
from dartifact.compare.diff.rendering.text import render_text
from dartifact.compare.diff.report import RowCounts, ThreeWay
from dartifact.compare.diff.table import Diff
from dartifact.domain.errors import NotFound, UsageError
from dartifact.domain.marks import HIDDEN
from tests.support.sources import customer, order
from tests.support.waiting import wait_until
from tests.support.world import ACTOR, World


def test_a_run_is_compared_with_main_on_the_keys_it_brings(world: World) -> None:
    world.land("customers", *(customer(n) for n in range(10)))
    run = world.bring("customers", customer(1, segment="public"), customer(2, _deleted=True), customer(99))
    report = diffs.diff_run(world.stack, run).diff.report
    assert report.rows == RowCounts(base=2, candidate=2, added=1, removed=1, changed=1, unchanged=0)
    changed = {column.name: column.changed for column in report.columns if column.changed}
    assert changed == {"segment": 1, "updated_at": 1}
    assert report.key == ("customer_id",)
    assert report.scope == "touched"
    assert not [name for name in changed if name.startswith("_")]


def test_a_failed_run_can_be_looked_at_by_its_failing_check(world: World) -> None:
    world.land("customers", customer(1), customer(2))
    run = world.bring("customers", customer(1, segment="martian"), customer(2, name="Other"))
    stored = diffs.diff_run(world.stack, run)
    cells = read_page(stored, only=CellFilter(condition="segment NOT IN ('consumer', 'public')", column="segment"))
    assert [(cell.key, cell.base, cell.candidate) for cell in cells] == [("C000001", "consumer", "martian")]


def test_a_run_whose_rows_lack_their_key_is_compared_nevertheless(world: World) -> None:
    world.land("customers", customer(1))
    run = world.bring("customers", customer(1, segment="public"), customer(2, customer_id=None))
    stored = diffs.diff_run(world.stack, run)
    assert (stored.diff.report.rows.added, stored.diff.report.rows.changed) == (1, 1)
    assert [cell.candidate for cell in read_page(stored, only=CellFilter("added", "name"))] == [customer(2)["name"]]


def test_a_late_run_does_not_undo_what_main_has_newer(world: World) -> None:
    world.land("customers", customer(1))
    late = world.bring("customers", customer(1, name="older"), customer(2))
    newer = world.bring("customers", customer(1, name="newer"))
    world.integrate()
    assert {late.run_id, newer.run_id} <= world.runs_in_main()
    report = diffs.diff_run(world.stack, world.run(late)).diff.report
    assert (report.rows.added, report.rows.changed, report.rows.unchanged) == (1, 0, 1)


def test_three_way_tells_the_run_and_main_apart(world: World) -> None:
    world.land("customers", *(customer(n) for n in range(5)))
    with world.without_local_gate("customers"):
        run = world.bring("customers", customer(1, segment="martian"), customer(2, name="mine"))
    world.integrate()
    assert run.run_id not in world.runs_in_main()
    world.land("customers", customer(2, name="theirs"), customer(3, name="theirs"))
    report = diffs.diff_run(world.stack, world.run(run)).diff.report
    assert report.three_way == ThreeWay(run=1, main=1, both=1, both_examples=("C000002",))


def test_a_run_of_a_dataset_that_main_lacks_adds_all_its_rows(world: World) -> None:
    run = world.bring("customers", customer(1), customer(2))
    assert diffs.diff_run(world.stack, run).diff.report.rows.added == 2


def test_a_dataset_is_compared_at_two_commits(world: World) -> None:
    world.land("customers", customer(1), customer(2))
    before = world.head.commit_id
    world.land("customers", customer(2, name="Other"), customer(3))
    report = diffs.diff_dataset(world.stack, "customers", before, "main").diff.report
    assert (report.rows.added, report.rows.removed, report.rows.changed) == (1, 0, 1)
    back = diffs.diff_dataset(world.stack, "customers", "main", before).diff.report
    assert (back.rows.added, back.rows.removed, back.rows.changed) == (0, 1, 1)
    assert diffs.diff_dataset(world.stack, "customers", "main", "main").diff.report.same


def test_through_the_gateway_the_answer_is_the_same(world: World) -> None:
    world.land("customers", customer(1))
    run = world.bring("customers", customer(1, name="Other"))
    lake = Lake(replace(world.lake.access, gateway_only=True), world.lake.repository)
    gateway = replace(world.stack, lake=lake, home=world.stack.home / "other")
    gateway.home.mkdir()
    assert diffs.diff_run(gateway, run).diff.report == diffs.diff_run(world.stack, run).diff.report


def test_marts_of_a_dartifact_are_compared_with_production(world: World) -> None:
    world.land("customers", customer(1))
    world.land("orders", order(1), order(2))
    first = stage(world.stack, actor=ACTOR)
    promote(world.stack, actor=ACTOR)
    world.land("orders", order(3))
    second = stage(world.stack, actor=ACTOR)
    refs = [resolve_ref(world.stack, each) for each in ("production", second.dartifact_id)]
    marts = diffs.list_marts(world.stack, *refs)
    assert marts
    planned = plan_in_lake(world.stack, second.dartifact_id, "", "", "", Options()).tables
    assert [name for name, _ in planned] == list(marts)
    assert planned[0][1]().diff.report.table == marts[0]
    report = diffs.diff_mart(world.stack, "customer_statistics", refs[0], refs[1]).diff.report
    assert report.key == ("segment", "country", "month")  # as its contract says: no count that happens to be unique
    assert (report.rows.changed, report.rows.added, report.rows.removed) == (1, 0, 0)
    own = resolve_ref(world.stack, first.dartifact_id)
    assert diffs.diff_mart(world.stack, marts[0], refs[0], own).diff.report.same
    with pytest.raises(NotFound, match="has no mart nope"):
        diffs.diff_mart(world.stack, "nope", refs[0], refs[1])


# Files


def write(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_branch_is_compared_as_it_was_at_a_time(world: World) -> None:
    world.land("customers", customer(1))
    before = world.lake.head("main")
    wait_until(lambda: time.time() > before.created + 1)
    world.land("customers", customer(2))
    then = datetime.fromtimestamp(before.created, UTC)
    assert resolve_ref(world.stack, f"main@{then.isoformat()}") == before.commit_id
    with pytest.raises(NotFound, match="main has no commit from before"):
        resolve_ref(world.stack, "main@2001-01-01")
    with pytest.raises(UsageError, match="neither a date nor a time"):
        resolve_ref(world.stack, "main@once")


@pytest.mark.parametrize(
    ("before", "after", "csv", "changed"),
    [
        ("NA", "", file_diffs.CsvOptions(), 1),
        ("NA", "", file_diffs.CsvOptions(null_tokens=("NA",)), 0),
        ("", '""', file_diffs.CsvOptions(), 1),
        ("1.0", "1", file_diffs.CsvOptions(), 1),
        ("1.0", "1", file_diffs.CsvOptions(infer_types=True), 0),
        ("007", "7", file_diffs.CsvOptions(), 1),
        ('"x\ny"', '"x\ny"', file_diffs.CsvOptions(), 0),
    ],
)
def test_a_csv_is_compared_as_written_unless_asked_otherwise(
    tmp_path: Path, before: str, after: str, csv: file_diffs.CsvOptions, changed: int
) -> None:
    a, b = (write(tmp_path / f"{n}.csv", f"id,v\n1,{text}\n2,7\n") for n, text in enumerate((before, after)))
    assert file_diffs.diff_files(tmp_path, a, b, Options(key=("id",)), csv).diff.report.rows.changed == changed


def test_parquet_and_csv_are_compared_as_text(tmp_path: Path) -> None:
    duckdb.execute(f"COPY (SELECT 1 AS id, 1.50::DECIMAL(9,2) AS v) TO '{tmp_path}/a.parquet'")
    b = write(tmp_path / "b.csv", "id,v\n1,1.50\n")
    assert file_diffs.diff_files(tmp_path, f"{tmp_path}/a.parquet", b, Options(key=("id",))).diff.report.same


def test_a_glob_is_one_side(tmp_path: Path) -> None:
    write(tmp_path / "a1.csv", "id,v\n1,x\n")
    write(tmp_path / "a2.csv", "id,v\n2,y\n")
    whole = write(tmp_path / "b.csv", "id,v\n2,y\n1,x\n")
    assert file_diffs.diff_files(tmp_path, f"{tmp_path}/a*.csv", whole, Options()).diff.report.same


def test_a_file_that_is_missing_or_something_else_is_refused(tmp_path: Path) -> None:
    wrong = write(tmp_path / "a.parquet", "no parquet")
    with pytest.raises(UsageError, match="is no Parquet file"):
        file_diffs.diff_files(tmp_path, wrong, wrong, Options())
    with pytest.raises(NotFound, match="there is no file"):
        file_diffs.diff_files(tmp_path, f"{tmp_path}/none*.csv", wrong, Options())


# What is stored


def make_pair(tmp_path: Path, rows: int = 50) -> tuple[str, str]:
    a, b = f"{tmp_path}/a.parquet", f"{tmp_path}/b.parquet"
    duckdb.execute(f"COPY (SELECT i AS id, i % 7 AS v, i % 3 AS w FROM range({rows}) r(i)) TO '{a}'")
    duckdb.execute(f"COPY (SELECT i AS id, i % 5 AS v, i % 2 AS w FROM range(3, {rows} + 3) r(i)) TO '{b}'")
    return a, b


def test_a_diff_is_computed_once_and_again_when_it_was_damaged(tmp_path: Path) -> None:
    a, b = make_pair(tmp_path)
    first = file_diffs.diff_files(tmp_path, a, b, Options(key=("id",)))
    manifest = first.rows_file.parent / "diff.json"
    body = json.loads(manifest.read_text())
    body["body"]["report"]["rows"]["added"] = 12345
    manifest.write_text(json.dumps(body))
    assert file_diffs.diff_files(tmp_path, a, b, Options(key=("id",))).diff == first.diff
    stamp = manifest.stat().st_ino
    assert file_diffs.diff_files(tmp_path, a, b, Options(key=("id",))).diff == first.diff
    assert manifest.stat().st_ino == stamp
    first.rows_file.write_bytes(b"")
    assert read_page(file_diffs.diff_files(tmp_path, a, b, Options(key=("id",))))
    assert [each.name for each in (tmp_path / "diffs").iterdir() if each.name.startswith(".")] == []


def test_a_file_that_changed_is_compared_anew(tmp_path: Path) -> None:
    a, b = make_pair(tmp_path)
    file_diffs.diff_files(tmp_path, a, b, Options(key=("id",)))
    duckdb.execute(f"COPY (SELECT * FROM read_parquet('{a}')) TO '{b}'")
    assert file_diffs.diff_files(tmp_path, a, b, Options(key=("id",))).diff.report.same


def test_writers_at_once_agree(tmp_path: Path) -> None:
    a, b = make_pair(tmp_path)
    found: list[object] = []
    threads = [
        threading.Thread(target=lambda: found.append(file_diffs.diff_files(tmp_path, a, b, Options(key=("id",)))))
        for _ in range(4)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(found) == 4
    assert len(set(map(str, found))) == 1
    assert len(list((tmp_path / "diffs").iterdir())) == 1


def test_the_oldest_entries_make_room(tmp_path: Path) -> None:
    a, b = make_pair(tmp_path)
    made = file_diffs.diff_files(tmp_path, a, b, Options(key=("id",)))

    def copy(work: Path) -> Diff:
        (work / "rows.parquet").write_bytes(made.rows_file.read_bytes())
        return made.diff

    store = DiffStore(tmp_path, most_bytes=1)
    last = store.find_or_make("another", copy)
    assert list((tmp_path / "diffs").iterdir()) == [last.rows_file.parent]


def test_pages_do_not_overlap_and_miss_nothing(tmp_path: Path) -> None:
    a, b = make_pair(tmp_path)
    stored = file_diffs.diff_files(tmp_path, a, b, Options(key=("id",)))
    out = tmp_path / "out.parquet"
    write_cells(stored, out)
    written = duckdb.execute(f"SELECT key, \"column\", base, candidate, kind FROM '{out}'").fetchall()
    for sort in ("key", "column"):
        pages = [read_page(stored, page=n, size=7, sort=sort) for n in range(len(written) // 7 + 2)]  # type: ignore[arg-type]
        cells = [cell for page in pages for cell in page]
        assert sorted(
            (c.key, c.column, c.base, c.candidate, c.kind) for c in cells if c.base and c.candidate
        ) == sorted(row for row in written if row[2] and row[3])
        assert len(cells) == len(written)
        assert len({(cell.row, cell.column) for cell in cells}) == len(cells)
    changed = sum(column.changed for column in stored.diff.report.columns)
    assert len([row for row in written if row[4] == "changed"]) == changed
    assert {cell.kind for cell in read_page(stored, only=CellFilter(kind="added"))} == {"added"}
    assert {cell.column for cell in read_page(stored, only=CellFilter(column="w"))} == {"w"}


def test_pages_of_rows_hold_the_same_cells(tmp_path: Path) -> None:
    stored = file_diffs.diff_files(tmp_path, *make_pair(tmp_path), Options(key=("id",)))
    filters = (CellFilter(), CellFilter(kind="added"), CellFilter(column="w"), CellFilter(condition="w = 1"))
    for only in filters:
        cells = {(c.row, c.column, c.base, c.candidate) for c in read_page(stored, size=100_000, only=only)}
        rows: list[RowDiff] = []
        while page := read_row_page(stored, page=len(rows) // 7, size=7, only=only, conditions={"one": "w = 1"}):
            rows += page
            if len(page) < 7:
                break
        assert len({row.row for row in rows}) == len(rows)
        assert {(r.row, name, *sides) for r in rows for name, sides in r.cells.items()} == cells
        if only.condition:
            assert rows
            assert all(row.fails == ("one",) for row in rows)
    marked = read_row_page(stored, size=100_000, conditions={"one": "w = 1", "unknown": "nope = 1"})
    assert {row.fails for row in marked} == {(), ("one",)}
    assert marked == tuple(sorted(marked, key=lambda row: (not row.fails, row.row)))


def test_hidden_columns_leave_the_file_of_cells_without_their_values(tmp_path: Path) -> None:
    stored = file_diffs.diff_files(tmp_path, *make_pair(tmp_path), Options(key=("id",)))
    out = tmp_path / "out.parquet"
    write_cells(stored, out, {"w"})
    query = f"SELECT DISTINCT base, candidate FROM '{out}' WHERE \"column\" = 'w'"
    assert duckdb.execute(query).fetchall() == [(HIDDEN, HIDDEN)]
    assert duckdb.execute(f"SELECT count(DISTINCT key) > 1 FROM '{out}' WHERE candidate <> '{HIDDEN}'").fetchall() == [
        (True,)
    ]
    write_cells(stored, out, {"id"})
    assert duckdb.execute(f"SELECT DISTINCT key FROM '{out}'").fetchall() == [(HIDDEN,)]


def test_a_page_of_what_does_not_exist_is_refused(tmp_path: Path) -> None:
    stored = file_diffs.diff_files(tmp_path, *make_pair(tmp_path), Options(key=("id",)))
    for only in (CellFilter(kind="lost"), CellFilter(column="nope"), CellFilter(condition="nope = 1")):
        with pytest.raises(UsageError):
            read_page(stored, only=only)


def test_a_report_is_told_as_text_and_as_markdown(tmp_path: Path) -> None:
    a = write(tmp_path / "a.csv", "id,v,w\n1,x,\n2,y,1\n")
    b = write(tmp_path / "b.csv", "id,v\n1,a|b\n3,z\n")
    report = file_diffs.diff_files(tmp_path, a, b, Options(key=("id",))).diff.report
    report = replace(report, base="a", candidate="b")
    assert render_text([report]).splitlines() == [
        "a → b: different",
        "  key        id",
        "  rows       2 → 2: 1 added, 1 removed, 1 changed, 0 unchanged in the columns",
        "             that both sides have",
        "  schema     removed: w",
        "  v: 1 changed (100.00%)",
        "    1: x → a|b",
    ]
    assert "| `v` | 1 | 100.00% | `1: x → a\\|b` |" in render_markdown([report])
