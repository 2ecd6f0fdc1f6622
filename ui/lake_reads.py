"""What the pages show of the lake: failing rows, differences, distributions, files to take away."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path

from dartifact.adapters.lakefs.lake import MAIN
from dartifact.adapters.tables.row_files import write_csv
from dartifact.commands.diffs.against_main import Bucket, compare_distribution, count_in_main
from dartifact.commands.diffs.cells import CellFilter, RowDiff, read_row_page, write_cells
from dartifact.commands.diffs.run import diff_mart, diff_run
from dartifact.commands.diffs.store import StoredDiff
from dartifact.commands.review.tables import read_batch
from dartifact.documents.checks import FailingDocument, describe_failing
from dartifact.documents.values import Plain
from dartifact.domain.marks import HIDDEN
from ui.masks import hidden_columns, hider
from ui.stack import open_jobs, open_stack

PATIENCE = 1.0
"""Seconds that a page waits for a difference before it says that one is computed."""


def read_failing(run_id: str, check: str, most: int) -> FailingDocument:
    """Return the failing rows of a check of a run."""
    stack = open_stack()
    run = stack.ledger.run(run_id)
    found = describe_failing(stack, run, check, most)
    hidden, hide = hidden_columns(run.source), hider(run.source)

    def mask(column: str, value: Plain) -> Plain:
        if column in hidden:
            return HIDDEN
        return hide(found["message"]) if column == "_reason" else value

    rows = [{column: mask(column, value) for column, value in row.items()} for row in found["rows"]]
    return {**found, "message": hide(found["message"]), "rows": rows}


def list_columns(dataset: str) -> list[str]:
    """Name the columns of a dataset's contract."""
    return [name for name, _ in open_stack().contract(dataset).columns]


def count_same_in_main(run_id: str, conditions: Mapping[str, str]) -> dict[str, int]:
    """Count, for each check, the rows of `main`, without the run's own, that fail it too."""
    stack = open_stack()
    return count_in_main(stack, stack.ledger.run(run_id), conditions)


def pack_batch(run_id: str) -> bytes:
    """Return the rows of a run as a CSV file that can be edited and uploaded as a fix."""
    stack = open_stack()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "batch.csv"
        write_csv(read_batch(stack, stack.ledger.run(run_id)), file)
        return file.read_bytes()


def read_distribution(run_id: str, column: str) -> tuple[Bucket, ...]:
    """Return how the values of a column lie in `main` and in the run."""
    stack = open_stack()
    return compare_distribution(stack, stack.ledger.run(run_id), column)


def ask_diff(run_id: str) -> StoredDiff | None:
    """Return the difference between `main` and what it would be with the run; None while it is computed.

    It is computed once for what both are now, and blocks nobody.
    """
    stack = open_stack()
    run, head = stack.ledger.run(run_id), stack.lake.head(MAIN).commit_id
    return open_jobs().ask((run_id, run.commit or "", head), lambda: diff_run(stack, run), PATIENCE)


def ask_mart_diff(mart: str, base: str, candidate: str, patience: float = PATIENCE) -> StoredDiff | None:
    """Return the difference of a mart at two commits; None while it is computed, which blocks nobody."""
    stack = open_stack()
    return open_jobs().ask((mart, base, candidate), lambda: diff_mart(stack, mart, base, candidate), patience)


def read_rows(
    stored: StoredDiff, page: int, size: int, only: CellFilter, conditions: Mapping[str, str]
) -> tuple[RowDiff, ...]:
    """Return one page of the differing rows, with the checks that each fails."""
    return read_row_page(stored, page=page, size=size, only=only, conditions=conditions)


def pack_cells(stored: StoredDiff, hidden: Collection[str]) -> bytes:
    """Return every differing cell as a Parquet file, without the values of hidden columns."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "cells.parquet"
        write_cells(stored, file, hidden)
        return file.read_bytes()
