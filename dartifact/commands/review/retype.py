"""Retyping: columns of a stopped run that an older contract typed otherwise, read again from what was brought."""

from __future__ import annotations

import tempfile
from pathlib import Path

from dartifact.adapters.tables import duck
from dartifact.adapters.tables.batch_files import write_parquet
from dartifact.adapters.tables.batches import retype
from dartifact.commands.stack import Stack
from dartifact.domain import errors
from dartifact.domain.runs import Run


def retype_rows(stack: Stack, run: Run, actor: str) -> tuple[str | None, tuple[str, ...]]:
    """Commit a run's rows with the types of today's contract; return the commit, and the columns that have changed.

    The commit is the run's own where nothing changes. Values stay as they are; a column that still has a value without
    a place in its type stays as it was brought.
    """
    lake, path = stack.lake, f"{run.folder}part-0.parquet"
    objects = lake.list_objects(run.commit, run.folder) if run.commit else ()
    if not objects or run.commit is None:
        return run.commit, ()
    source = stack.source(run.source)
    urls = lake.locate(run.commit, objects)
    with duck.connect() as connection:
        try:
            duck.create_view(connection, "batch", urls, lake.access)
        except duck.NotParquet:
            return run.commit, ()  # the gate says so
        query = "SELECT * EXCLUDE (file_row_number) FROM batch ORDER BY file_row_number"
        table = connection.execute(query).to_arrow_table()
        notes = duck.read_notes(connection, urls, lake.access)
    table, changed = retype(table, stack.contract(run.source).columns, zone=source.zone)
    if not changed:
        return run.commit, ()
    with tempfile.TemporaryDirectory(prefix="retype-", dir=stack.home) as folder:
        file = Path(folder) / "part-0.parquet"
        write_parquet(table, file, notes)
        lake.upload(run.branch, path, file)
    others = [found.path for found in lake.list_objects(run.branch, run.folder) if found.path != path]
    if others:
        lake.delete_objects(run.branch, others)
    metadata = {"run": run.run_id, "actor": actor, "retyped": ", ".join(changed)[:500]}
    try:
        return lake.commit(run.branch, f"retype {len(changed)} columns", metadata).commit_id, tuple(changed)
    except errors.NoChanges:  # one that was killed has committed them
        return lake.head(run.branch).commit_id, tuple(changed)
