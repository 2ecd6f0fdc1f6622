"""A folder with everything to look at in a run: its batch, its failing rows, what `main` has, DuckDB and a notebook."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb

from dartifact.adapters.lakefs.lake import MAIN
from dartifact.adapters.tables.batch_files import write_parquet
from dartifact.commands.gates.failing_rows import file_name, find_failing, read_failing_table
from dartifact.commands.review.tables import read_batch, read_current_of_batch
from dartifact.commands.stack import Stack
from dartifact.domain.checks import Result
from dartifact.domain.errors import UsageError
from dartifact.domain.people import Role
from dartifact.domain.runs import Run
from dartifact.domain.sql_text import literal, quote


def check_out(stack: Stack, run_id: str, to: Path) -> tuple[Path, ...]:
    """Write the folder and return its files; UsageError when it is there and not empty, or cannot be written."""
    stack.require(Role.REVIEWER, "check a run out")
    run = stack.ledger.run(run_id)
    report = stack.ledger.report(run.report) if run.report else None
    results = find_failing(report, run) if report else ()
    batch = read_batch(stack, run)
    main = read_current_of_batch(stack, run, stack.lake.head(MAIN).commit_id)
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise UsageError(f"{to} is there already", hint="--to another folder")
    try:
        (to / "failing").mkdir(parents=True)
        files = {"batch": to / "batch.parquet", "main": to / "main.parquet"}
        write_parquet(batch, files["batch"])
        write_parquet(main, files["main"])
        for each in results:
            path = to / "failing" / f"{file_name(each.check)}.parquet"
            write_parquet(read_failing_table(stack, run, each), path)
            files[f"failing_{path.stem}".replace(".", "_").replace("-", "_")] = path
        _write_database(to / "look.duckdb", files)
        (to / "look.ipynb").write_text(json.dumps(_notebook(run, list(files)), indent=1), encoding="utf-8")
        (to / "README.md").write_text(_explain(run, results), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{to} cannot be written: {error.strerror or error}", hint="--to another folder") from error
    return tuple(sorted(each for each in to.rglob("*") if each.is_file()))


def _write_database(path: Path, files: dict[str, Path]) -> None:
    # tables, not views: the folder can be moved
    with duckdb.connect(str(path)) as connection:
        for name, file in files.items():
            source = literal(str(file))
            connection.execute(f"CREATE TABLE {quote(name)} AS SELECT * FROM read_parquet({source})")


def _notebook(run: Run, tables: list[str]) -> dict[str, Any]:
    shown = next((each for each in tables if each.startswith("failing_")), "batch")
    cells = [
        'import duckdb\n\nlook = duckdb.connect("look.duckdb", read_only=True)\nlook.sql("SHOW TABLES")',
        f'look.sql("FROM {shown}").df()',
        "# Correct the rows, and give them to the run: they go through the same gates.\n"
        "import dartifact.client as client\n\n"
        'rows = look.sql("FROM batch").to_arrow_table().to_pandas()\n'
        f'# client.run("{run.run_id}").fix(rows, reason="...")',
    ]
    return {
        "cells": [
            {
                "cell_type": "code",
                "id": f"cell-{number}",
                "execution_count": None,
                "metadata": {},
                "outputs": [],
                "source": source.splitlines(keepends=True),
            }
            for number, source in enumerate(cells)
        ],
        "metadata": {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def _explain(run: Run, results: tuple[Result, ...]) -> str:
    lines = [
        f"# {run.run_id}",
        "",
        f"It is {run.phase}" + (f" at the {run.gate} gate" if run.gate else "") + f", commit {run.commit}.",
        "",
        *(f"- {reason}" for reason in run.reasons),
        "",
        "| file | table in look.duckdb | rows |",
        "|---|---|---|",
        "| batch.parquet | batch | what the run brings |",
        "| main.parquet | main | the current rows of the same keys in main |",
    ]
    for each in results:
        name = file_name(each.check)
        table = f"failing_{name}".replace(".", "_").replace("-", "_")
        lines.append(f"| failing/{name}.parquet | {table} | {each.message.replace('|', '/')} |")
    return "\n".join(
        [
            *lines,
            "",
            "Decide:",
            "",
            f"    dartifact fix {run.run_id} --file batch.parquet --reason WHY    other rows, through the same gates",
            f"    dartifact recheck {run.run_id}                                  ask again, after checks/ has changed",
            f"    dartifact approve {run.run_id} --reason WHY                     merge it as it is",
            f"    dartifact reject {run.run_id} --reason WHY                      discard it; its window stays a gap",
            "",
        ]
    )
