"""What the pages show of the lake: failing rows, differences, distributions, files to take away.

All of it is masked here, for the person who looks: what a page is given it may show.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dartifact.adapters.lakefs.lake import MAIN
from dartifact.adapters.tables.row_files import write_csv
from dartifact.commands.diffs.against_main import Bucket, compare_distribution, count_in_main
from dartifact.commands.diffs.cell_files import write_cells
from dartifact.commands.diffs.cells import CellFilter, RowDiff, read_row_page
from dartifact.commands.diffs.run import diff_mart, diff_run
from dartifact.commands.diffs.store import StoredDiff
from dartifact.commands.review.tables import read_batch
from dartifact.commands.stack import Stack
from dartifact.compare.diff.report import DiffReport
from dartifact.documents.checks import FailingDocument, describe_failing, list_results
from dartifact.documents.values import Plain
from dartifact.domain.checks import Outcome
from dartifact.domain.errors import NotFound, PolicyRefused
from dartifact.domain.marks import HIDDEN
from dartifact.domain.runs import Run
from ui.exports import defuse_table
from ui.masks import Mask, hider, mask_dataset, mask_mart, mask_report, mask_rows, name_checks
from ui.people import who
from ui.stack import open_jobs, open_ledger, open_stack

PATIENCE = 1.0
"""Seconds that a page waits for a difference before it says that one is computed."""
_FAILING = (Outcome.FAILED, Outcome.WARNED)


@dataclass(frozen=True, slots=True)
class ShownDiff:
    """A difference as it is shown: its report is masked; `checks` name those whose failing rows it can tell."""

    report: DiffReport
    mask: Mask
    _stored: StoredDiff = field(repr=False)
    _conditions: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def checks(self) -> tuple[str, ...]:
        """Name the failing checks, as they are shown."""
        return tuple(self._conditions)

    def read_rows(
        self, page: int, size: int, *, kind: str = "", column: str = "", check: str = ""
    ) -> tuple[RowDiff, ...]:
        """Return one page of the differing rows, with the checks that each fails; of one kind, column or check only.

        NotFound: there is no such check. PolicyRefused: the column is hidden.
        """
        if check and check not in self._conditions:
            raise NotFound(f"there is no failing check {check}", hint="choose another one")
        if column:
            _refuse_hidden(self.mask, column)
        only = CellFilter(kind, column, self._conditions.get(check, ""))
        rows = read_row_page(self._stored, page=page, size=size, only=only, conditions=self._conditions)
        return mask_rows(rows, self.report.key, self.mask)

    def pack_cells(self) -> bytes:
        """Return every differing cell as a Parquet file, without hidden values."""
        known = self._stored.diff.stored
        hidden = self.mask.hidden([*known.key, *known.columns])
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "cells.parquet"
            write_cells(self._stored, file, hidden)
            return file.read_bytes()


def read_failing(run_id: str, check: str, most: int) -> FailingDocument:
    """Return the failing rows of a check of a run; the check is named as it is shown."""
    stack = open_stack()
    run = stack.ledger.run(run_id)
    names, results = _name_checks(stack, run), list_results(stack.ledger, run)
    found_rows = [each for each in results if each.outcome in _FAILING and each.condition and each.failing_rows > 0]
    meant = {names[each.check]: each.check for each in found_rows}
    if check not in meant:
        raise NotFound(f"{run_id} has no failing rows of a check {check}", hint="choose another one")
    found = describe_failing(stack, run, meant[check], most)
    masked, hide = mask_dataset(run.source), hider(run.source)
    message = hide(found["message"])

    def mask(column: str, value: Plain) -> Plain:
        if column == "_reason":
            return message
        return HIDDEN if masked.hides(column) else value

    rows = [{column: mask(column, value) for column, value in row.items()} for row in found["rows"]]
    return {**found, "check": check, "message": message, "rows": rows}


def list_columns(dataset: str) -> list[str]:
    """Name the columns of a dataset's contract whose values are shown."""
    mask = mask_dataset(dataset)
    return [name for name, _ in open_stack().contract(dataset).columns if not mask.hides(name)]


def count_same_in_main(run_id: str) -> dict[str, int]:
    """Count, for each failing check, the rows of `main`, without the run's own, that fail it too."""
    stack = open_stack()
    run = stack.ledger.run(run_id)
    return count_in_main(stack, run, _list_conditions(stack, run))


def prepare_batch(run_id: str) -> Callable[[], bytes]:
    """Return what packs the rows of a run as a CSV file that can be edited and uploaded as a fix.

    It is called once somebody wants the file, outside of the session. PolicyRefused: something in the rows is hidden.
    """
    person = who()
    if mask_dataset(open_ledger().run(run_id).source).shown is not None:
        raise PolicyRefused("rows with hidden columns are not downloaded")

    def pack() -> bytes:
        stack = open_stack(person)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "batch.csv"
            write_csv(defuse_table(read_batch(stack, stack.ledger.run(run_id))), file)
            return file.read_bytes()

    return pack


def read_distribution(run_id: str, column: str) -> tuple[Bucket, ...]:
    """Return how the values of a column lie in `main` and in the run; PolicyRefused where they are hidden."""
    stack = open_stack()
    run = stack.ledger.run(run_id)
    _refuse_hidden(mask_dataset(run.source), column)
    return compare_distribution(stack, run, column)


def ask_diff(run_id: str) -> ShownDiff | None:
    """Return the difference between `main` and what it would be with the run; None while it is computed.

    It is computed once for what both are now, and blocks nobody.
    """
    stack = open_stack()
    run, head = stack.ledger.run(run_id), stack.lake.head(MAIN).commit_id
    found = open_jobs().ask((run_id, run.commit or "", head), lambda: diff_run(stack, run), PATIENCE)
    return _show(found, mask_dataset(run.source), _list_conditions(stack, run)) if found else None


def ask_mart_diff(mart: str, base: str, candidate: str, patience: float = PATIENCE) -> ShownDiff | None:
    """Return the difference of a mart at two commits; None while it is computed, which blocks nobody."""
    stack = open_stack()
    found = open_jobs().ask((mart, base, candidate), lambda: diff_mart(stack, mart, base, candidate), patience)
    return _show(found, mask_mart(mart), {}) if found else None


def _show(stored: StoredDiff, mask: Mask, conditions: Mapping[str, str]) -> ShownDiff:
    return ShownDiff(mask_report(stored.diff.report, mask), mask, stored, conditions)


def _list_conditions(stack: Stack, run: Run) -> dict[str, str]:
    """Return check, as it is shown, → SQL condition of the checks that name failing rows, those that failed first."""
    results = [each for each in list_results(stack.ledger, run) if each.outcome in _FAILING and each.condition]
    results.sort(key=lambda each: each.outcome)
    names = _name_checks(stack, run)
    return {names[each.check]: each.condition or "" for each in results}


def _name_checks(stack: Stack, run: Run) -> dict[str, str]:
    return name_checks(run.source, [each.check for each in list_results(stack.ledger, run)])


def _refuse_hidden(mask: Mask, column: str) -> None:
    if mask.hides(column):
        raise PolicyRefused(f"the values of {column} are hidden from viewers")
