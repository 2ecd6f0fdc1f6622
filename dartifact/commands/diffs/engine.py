"""What every diff of the commands needs: a connection with bounded memory, and options as part of an identity."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from dartifact.adapters.lakefs.calls import LakeAccess
from dartifact.adapters.tables import duck
from dartifact.compare.diff.plan import Options
from dartifact.compare.diff.table import bound


@contextmanager
def open_engine(access: LakeAccess, work: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a connection that spills to a work folder."""
    with duck.connect() as connection:
        bound(connection, work / "spill")
        yield connection


def spell_options(options: Options) -> list[object]:
    """Return options as JSON values, equal for equal ones."""
    tolerance = options.tolerance
    amount = [f"{tolerance.amount.normalize():f}", tolerance.relative] if tolerance else None
    chosen = [sorted(options.rename), options.where, options.sample]
    return [list(options.key), sorted(options.ignore), amount, *chosen]
