"""Tables of the lake as Arrow, for people: a run's batch, current rows of a dataset, a mart. Every value is exact."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import duckdb

from dartifact.adapters.lakefs.values import LakeObject
from dartifact.adapters.tables import duck
from dartifact.commands.gates.batch import view_batch
from dartifact.commands.stack import Stack
from dartifact.compare.current import select_current, select_touched
from dartifact.domain.errors import ChecksErrored, NotFound
from dartifact.domain.hints import Command
from dartifact.domain.runs import Run
from dartifact.domain.sql_text import quote
from dartifact.domain.texts import first_line

if TYPE_CHECKING:
    import pyarrow as pa


def read_batch(stack: Stack, run: Run) -> pa.Table:
    """Return the rows of a run at its commit, in the order of the file, system columns included."""
    with duck.connect() as connection, _reading(f"the batch of {run.run_id}"):
        _open_batch(stack, connection, run)
        query = "SELECT * EXCLUDE (file_row_number) FROM batch ORDER BY file_row_number"
        return connection.execute(query).to_arrow_table()


def read_current_of_batch(stack: Stack, run: Run, commit: str) -> pa.Table:
    """Return the current rows at a commit of the keys that a run brings; the columns are there without a row, too."""
    source = stack.source(run.source)
    with duck.connect() as connection, _reading(f"{run.source} at {commit[:12]}"):
        _open_batch(stack, connection, run)
        if not _view(stack, connection, commit, _list_raw(stack, run.source, commit)):
            return connection.execute("SELECT * EXCLUDE (file_row_number) FROM batch WHERE false").to_arrow_table()
        touched = f"({select_touched('records', 'batch', source.key)})"
        query = select_current(touched, source.key, source.updated_at)
        names = ", ".join(quote(name) for name in source.key)
        return connection.execute(f"SELECT * FROM ({query}) ORDER BY {names}").to_arrow_table()


def read_dataset(stack: Stack, dataset: str, commit: str) -> pa.Table:
    """Return the current rows of a dataset at a commit, by key; NotFound where it has none of it."""
    source = stack.source(dataset)
    with duck.connect() as connection, _reading(f"{dataset} at {commit[:12]}"):
        if not _view(stack, connection, commit, _list_raw(stack, dataset, commit)):
            raise NotFound(f"commit {commit[:12]} holds no rows of {dataset}", hint=Command("status"))
        query = select_current("records", source.key, source.updated_at)
        names = ", ".join(quote(name) for name in source.key)
        return connection.execute(f"SELECT * FROM ({query}) ORDER BY {names}").to_arrow_table()


def read_mart(stack: Stack, mart: str, commit: str) -> pa.Table:
    """Return a mart at a commit; NotFound names those that it has."""
    objects = [each for each in stack.lake.list_objects(commit, "marts/") if each.path.endswith(".parquet")]
    chosen = [each for each in objects if each.path == f"marts/{mart}.parquet"]
    if not chosen:
        names = ", ".join(each.path.removeprefix("marts/").removesuffix(".parquet") for each in objects)
        raise NotFound(f"commit {commit[:12]} has no mart {mart}; it has {names or 'none'}", hint=Command("status"))
    with duck.connect() as connection, _reading(f"{mart} at {commit[:12]}"):
        _view(stack, connection, commit, chosen)
        query = "SELECT * EXCLUDE (file_row_number) FROM records ORDER BY file_row_number"
        return connection.execute(query).to_arrow_table()


def _open_batch(stack: Stack, connection: duckdb.DuckDBPyConnection, run: Run) -> None:
    if run.commit is None or not view_batch(stack, connection, run, run.commit):
        raise NotFound(f"run {run.run_id} has brought no rows", hint=Command("show", run.run_id))


def _list_raw(stack: Stack, dataset: str, commit: str) -> tuple[LakeObject, ...]:
    return stack.lake.list_objects(commit, f"raw/{dataset}/")


def _view(stack: Stack, connection: duckdb.DuckDBPyConnection, commit: str, objects: Sequence[LakeObject]) -> bool:
    if objects:
        duck.create_view(connection, "records", stack.lake.locate(commit, objects), stack.lake.access)
    return bool(objects)


@contextmanager
def _reading(what: str) -> Iterator[None]:
    """Turn a file that cannot be read while a query runs into ChecksErrored."""
    try:
        yield
    except duckdb.IOException as error:
        raise ChecksErrored(f"{what} cannot be read: {first_line(error)}") from error
