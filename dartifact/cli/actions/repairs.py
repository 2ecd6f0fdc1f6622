"""The verbs that check a run again, as it is or with other rows, and the one that starts a manual change."""

from __future__ import annotations

from pathlib import Path

from dartifact.adapters.tables.row_files import read_rows
from dartifact.cli.frame import answer, end_by_phase, opened, print_progress
from dartifact.cli.options import Output
from dartifact.cli.text.runs import format_ingested
from dartifact.commands.review import decide
from dartifact.commands.review import fix as fixes
from dartifact.commands.review import split as splits
from dartifact.documents.runs import RunDocument, describe_run, describe_split
from dartifact.domain.decisions import Decision
from dartifact.domain.runs import Run, read_run_id


def recheck(run: str, output: Output) -> None:
    """Run the local checks of a run again."""
    with opened(notifies=True) as (settings, stack):
        done = decide.recheck(stack, read_run_id(run), actor=settings.person, progress=print_progress)
    _answer_run(done, describe_run(done), output)


def fix(run: str, reason: str, file: Path | None, output: Output) -> None:
    """Give a run other rows."""
    run_id = read_run_id(run)
    rows = read_rows(file) if file else None
    with opened(notifies=True) as (settings, stack):
        before = stack.ledger.run(run_id).rows
        done = fixes.fix(stack, run_id, Decision(settings.person, reason), rows, progress=print_progress)
    print_progress(f"{done.run_id} has {done.rows or 0:,} rows now; it had {before or 0:,}")
    _answer_run(done, describe_run(done), output)


def split(run: str, reason: str, output: Output) -> None:
    """Split off the failing rows of a run."""
    run_id = read_run_id(run)
    with opened(notifies=True) as (settings, stack):
        before = stack.ledger.run(run_id).rows or 0
        done = splits.split_run(stack, run_id, Decision(settings.person, reason), progress=print_progress)
        left = stack.ledger.run(run_id).rows or 0
    document = describe_split(done, run_id, rows_before=before, rows_left=left)
    print_progress(f"of {before:,} rows {done.rows or 0:,} are {done.run_id} now, {left:,} stay on run-{run_id}")
    _answer_run(done, document, output)


def _answer_run(run: Run, document: RunDocument, output: Output) -> None:
    answer(document, output, lambda: format_ingested([run]))
    end_by_phase([run])


def open_change(dataset: str, reason: str, output: Output) -> None:
    """Start a manual change."""
    with opened(lake=False) as (settings, stack):
        done = fixes.open_change(stack, dataset, Decision(settings.person, reason))
        columns = ", ".join(name for name, _ in stack.contract(dataset).columns)
    lines = [
        f"{done.run_id} waits for its rows: new versions of {dataset}, `_deleted` true for those to be deleted",
        f"  columns: {columns}",
        f"next: dartifact fix {done.run_id} --file FILE --reason WHY",
    ]
    answer(describe_run(done), output, lambda: "\n".join(lines))
