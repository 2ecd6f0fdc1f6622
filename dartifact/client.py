"""Runs and tables in Python: `from dartifact import client`, `client.run(ID).batch()`, `client.read("orders")`.

Everything is a pandas DataFrame of Arrow-backed columns (`pandas.ArrowDtype`): decimals and whole numbers are exact,
also where some are missing, and times are aware, in UTC. `frame.convert_dtypes(dtype_backend="numpy_nullable")` or
`frame["amount"].astype("float64")` where NumPy's types are wanted. It reads what the settings name, as the command line
does: the lake of `dartifact up` where that runs, else one that is started for the length of the call.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dartifact.domain.errors import NotFound, UsageError
from dartifact.domain.hints import Command
from dartifact.domain.marks import show_values
from dartifact.domain.runs import read_run_id

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from dartifact.commands.stack import Stack
    from dartifact.domain.runs import Run


class RunData:
    """One run, as the ledger knows it when it is asked; made by `run`."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id

    def __repr__(self) -> str:
        return f"run({self.run_id!r})"

    def batch(self, *, system: bool = True) -> pd.DataFrame:
        """Return the run's rows at its commit; `system=False` leaves the columns out that begin with `_`."""
        from dartifact.commands.review.tables import read_batch  # noqa: PLC0415

        with _opened() as stack:
            table = read_batch(stack, self._find(stack))
        return _to_frame(table if system else table.select([n for n in table.column_names if not n.startswith("_")]))

    def failing(self, check: str) -> pd.DataFrame:
        """Return the failing rows of a check, at most 10,000, with `_row` and `_reason`; part of its name is enough."""
        from dartifact.commands.gates.failing_rows import find_check, read_failing_table  # noqa: PLC0415

        with _opened() as stack:
            found = self._find(stack)
            return _to_frame(read_failing_table(stack, found, find_check(stack, found, check)))

    def fix(self, rows: pd.DataFrame, *, reason: str) -> str:
        """Give a stopped or reverted run these rows, all of them, and ask its local gate; return its phase then.

        `queued`: it merges with the next integration. Else it is stopped again, for what `results()` says. Columns
        that begin with `_` are the system's, but for `_deleted`.
        """
        import pyarrow as pa  # noqa: PLC0415

        from dartifact.adapters.tables.row_files import to_rows  # noqa: PLC0415
        from dartifact.commands.review.fix import fix  # noqa: PLC0415
        from dartifact.domain.decisions import Decision  # noqa: PLC0415
        from dartifact.settings import read_settings  # noqa: PLC0415

        given = to_rows(pa.Table.from_pandas(rows, preserve_index=False))
        with _opened(sources=True) as stack:
            return fix(stack, self.run_id, Decision(read_settings().person, reason), given).phase.value

    def results(self) -> pd.DataFrame:
        """Return the results of the gate that saw the run last, one row for each check."""
        import pandas as pd  # noqa: PLC0415

        with _opened(lake=False) as stack:
            found = self._find(stack)
            report = stack.ledger.report(found.report) if found.report else None
        if report is None:
            raise NotFound(f"no gate has seen run {self.run_id} yet", hint=Command("show", self.run_id))
        own = [result for result in report.to_json()["results"] if result["run_id"] in (None, self.run_id)]
        results = [{**result, "message": show_values(result["message"])} for result in own]
        return pd.DataFrame(results).convert_dtypes(dtype_backend="pyarrow")

    def _find(self, stack: Stack) -> Run:
        return stack.ledger.run(self.run_id)


def run(run_id: str) -> RunData:
    """Return a run by its id or the name of its branch; NotFound when there is none."""
    found = RunData(read_run_id(run_id))
    with _opened(lake=False) as stack:
        found._find(stack)
    return found


def read(name: str, at: str | None = None, consumer: str | None = None) -> pd.DataFrame:
    """Return a mart or the current rows of a dataset.

    `at` is a branch, commit, dartifact or run. Without it a mart is what a plain reader of production reads now, or the
    named `consumer` (who is noted as one, as by `dartifact resolve`), and a dataset is what stands in `main`.
    NotFound: there is nothing of that name. UsageError: both `at` and `consumer`, or a consumer of a dataset.
    """
    from dartifact.adapters.lakefs.lake import MAIN  # noqa: PLC0415
    from dartifact.commands.diffs.refs import resolve_ref  # noqa: PLC0415
    from dartifact.commands.production.resolution import resolve  # noqa: PLC0415
    from dartifact.commands.review.tables import read_dataset, read_mart  # noqa: PLC0415

    if at is not None and consumer is not None:
        raise UsageError("a consumer reads what it is sent to: leave out either `at` or `consumer`")
    with _opened(sources=True) as stack:
        is_dataset = name in stack.sources
        if is_dataset and consumer is not None:
            raise UsageError(f"{name} is a dataset of main; consumers read marts")
        if at is not None:
            commit = stack.lake.commit_of(resolve_ref(stack, at)).commit_id
        else:
            commit = stack.lake.head(MAIN).commit_id if is_dataset else resolve(stack, consumer).commit
        return _to_frame((read_dataset if is_dataset else read_mart)(stack, name, commit))


def _to_frame(table: pa.Table) -> pd.DataFrame:
    import pandas as pd  # noqa: PLC0415

    return table.to_pandas(types_mapper=pd.ArrowDtype)


@contextmanager
def _opened(*, lake: bool = True, sources: bool = False) -> Iterator[Stack]:
    from dartifact.settings import read_settings  # noqa: PLC0415
    from dartifact.wiring import open_stack  # noqa: PLC0415

    with open_stack(read_settings(), _tell, lake=lake, sources=sources, place="Python") as stack:
        yield stack


def _tell(line: str) -> None:
    print(line, file=sys.stderr)
