"""Extraction: the rows of a run's window, without those that earlier runs brought, become a commit on its branch."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol, cast

from dartifact.adapters.lakefs.lake import MAIN
from dartifact.adapters.lakefs.values import Commit
from dartifact.adapters.tables import duck
from dartifact.adapters.tables.batch_files import Notes, add_system_columns, write_parquet
from dartifact.adapters.tables.batches import build_batch, build_versions, find_strange_names
from dartifact.adapters.tables.typed_values import read_stamp
from dartifact.commands.ingest.known_rows import KeyLister, find_deleted, is_snapshot_due, locate_known
from dartifact.commands.stack import Stack
from dartifact.compare.current import select_not_outdated, select_unseen
from dartifact.domain import errors
from dartifact.domain.events import EventType
from dartifact.domain.runs import Phase, Run
from dartifact.domain.sources import Source
from dartifact.domain.windows import OutOfOrder, take_rows

_MOST_PAGES = 100_000


class Extractor(Protocol):
    """What a source's flow file gives: its own clock, and the change records of a stretch of it."""

    def read_clock(self) -> datetime:
        """Return the source's own time."""

    def fetch(self, lo: datetime, hi: datetime, *, shard: int, shards: int) -> Iterator[list[dict[str, Any]]]:
        """Yield pages of change records with lo < updated_at <= hi of one shard.

        A source with `max_rows` needs them in the order of `updated_at`.
        """


@dataclass(frozen=True, slots=True)
class _Batch:
    """What a run brings up to `hi`: `table` is None when that is nothing.

    Of `fetched` rows `new` are in it, `outdated` ones have changed since; the rest was brought before. `compares` says
    whether the source's keys were compared: the rows beyond the new ones are what it has deleted then. `strange` are
    names in the new rows that no column can be kept under.
    """

    table: Any
    hi: datetime
    fetched: int
    new: int
    outdated: int
    compares: bool
    strange: Mapping[str, str]


def extract(stack: Stack, source: Source, extractor: Extractor, run: Run, actor: str) -> Run:
    """Commit the rows of a run's window to its branch, or end it as empty.

    A window with more than `max_rows` rows ends earlier than it was claimed. The commit says where; the ledger follows
    in the transaction that ends the extraction, also when that is another attempt's.
    """
    lake = stack.lake
    if not lake.has_branch(run.branch):
        lake.create_branch(run.branch, lake.head(MAIN).commit_id)
    commit = lake.head(run.branch)
    can_end_earlier = _can_end_earlier(stack, run)
    if not _is_batch_of(run, commit, can_end_earlier):
        batch = _read_batch(stack, source, extractor, run, source.max_rows if can_end_earlier else None, actor)
        if batch.table is None:
            return _end_empty(stack, run, batch.hi, actor, compares=batch.compares)
        commit = _commit_batch(stack, run, batch, actor)
    return _end_extraction(stack, run, commit, actor)


def _read_batch(stack: Stack, source: Source, extractor: Extractor, run: Run, most: int | None, actor: str) -> _Batch:
    """Read a window, of `most` rows if given, and leave out what earlier runs brought."""
    rows, cut = _fetch(stack, source, extractor, run, most)
    table, outdated, strange = _drop_known(stack, source, run, rows)
    new = table.num_rows if table is not None else 0
    compares = cut is None and is_snapshot_due(stack, source, run)
    gone = _find_gone(stack, source, cast("KeyLister", extractor), run, actor) if compares else None
    return _Batch(_join(table, gone), cut or run.window.hi, len(rows), new, outdated, gone is not None, strange)


def _commit_batch(stack: Stack, run: Run, batch: _Batch, actor: str) -> Commit:
    window, lake = run.window, stack.lake
    table = add_system_columns(batch.table, run_id=run.run_id, seq=window.seq, extracted_at=stack.clock())
    with tempfile.TemporaryDirectory(prefix="batch-", dir=stack.home) as folder:
        path = Path(folder) / "part-0.parquet"
        write_parquet(table, path, Notes(tuple(dict(stack.contract(run.source).columns)), batch.strange))
        lake.upload(run.branch, f"{run.folder}part-0.parquet", path)
    metadata = {
        "run": run.run_id,
        "actor": actor,
        "rows": str(table.num_rows),
        "repeated": str(batch.fetched - batch.new - batch.outdated),
        "outdated": str(batch.outdated),
        **({"deleted": str(table.num_rows - batch.new)} if batch.compares else {}),
        "seq": str(window.seq),
        "lo": window.lo.isoformat(),
        "hi": batch.hi.isoformat(),
    }
    return lake.commit(run.branch, f"bring {table.num_rows} rows of {run.source}", metadata)


def _end_extraction(stack: Stack, run: Run, commit: Commit, actor: str) -> Run:
    """Let the ledger follow a committed batch."""
    rows = int(commit.metadata["rows"])
    changes: dict[str, Any] = {"commit_id": commit.commit_id, "rows": rows, "attempts": 0, "reasons": []}
    with stack.ledger.write() as tx:
        if tx.runs.get(run.run_id).phase is Phase.EXTRACTING:
            tx.windows.shorten(run.run_id, _end_of(commit, run), actor)
        if "deleted" in commit.metadata:
            tx.append(
                EventType.KEYS_COMPARED, actor, run=run.run_id, source=run.source, deleted=commit.metadata["deleted"]
            )
        return tx.runs.move(
            run.run_id,
            Phase.CHECKING,
            EventType.BATCH_COMMITTED,
            actor,
            expect=Phase.EXTRACTING,
            changes=changes,
            commit=commit.commit_id,
            rows=rows,
        )


def _can_end_earlier(stack: Stack, run: Run) -> bool:
    # Behind the last claim the next one starts; behind any other, nobody would bring the rest.
    return run.window.backfill or stack.ledger.last_claim(run.source, run.window.shard) == run.window.hi


def _is_batch_of(run: Run, commit: Commit, can_end_earlier: bool) -> bool:
    return commit.metadata.get("run") == run.run_id and (can_end_earlier or _end_of(commit, run) == run.window.hi)


def _end_of(commit: Commit, run: Run) -> datetime:
    hi = commit.metadata.get("hi")
    return datetime.fromisoformat(hi) if hi else run.window.hi


def _fetch(
    stack: Stack, source: Source, extractor: Extractor, run: Run, most: int | None
) -> tuple[list[dict[str, Any]], datetime | None]:
    window = run.window
    before = None if window.backfill else stack.ledger.last_claim(run.source, window.shard, before=window.seq)
    pages = _watch(source, extractor.fetch(window.lo, window.hi, shard=window.shard, shards=len(source.ingestors)))
    try:
        return take_rows(
            pages, most, before or window.lo, lambda row: read_stamp(row.get(source.updated_at), source.zone)
        )
    except OutOfOrder as error:
        message = f"{source.name} has max_rows and does not tell its rows in the order of {source.updated_at}: {error}"
        raise errors.SourceMalformed(message, hint="let the source sort them, or take max_rows away") from error


def _watch(source: Source, pages: Iterator[list[dict[str, Any]]]) -> Iterator[list[dict[str, Any]]]:
    """Yield pages as long as they come to an end; an extractor's own limits apply within each."""
    started = time.monotonic()
    for number, page in enumerate(pages, start=1):
        if number > _MOST_PAGES:
            raise errors.SourceMalformed(f"{source.name} sends more than {_MOST_PAGES:,} pages of one window")
        if time.monotonic() - started > source.deadline.total_seconds():
            minutes = source.deadline.total_seconds() / 60
            message = f"{source.name} took more than {minutes:g} minutes for one window, {number:,} pages"
            raise errors.SourceUnavailable(message, hint="a shorter max_window, max_rows, or a longer deadline")
        yield page


def _find_gone(stack: Stack, source: Source, extractor: KeyLister, run: Run, actor: str) -> Any:
    """Return the rows that the source has deleted as a table, None when its keys cannot be believed."""
    try:
        return find_deleted(stack, source, extractor.list_keys(), run)
    except errors.SourceMalformed as error:
        # The rows of the window are good all the same; the next run asks again.
        with stack.ledger.write() as tx:
            tx.append(EventType.KEYS_REFUSED, actor, run=run.run_id, source=source.name, reason=error.message)
        return None


def _join(table: Any, gone: Any) -> Any:
    """Return new and deleted rows as one table, None for neither."""
    if gone is None or not gone.num_rows:
        return table
    if table is None:
        return gone
    import pyarrow as pa  # noqa: PLC0415

    columns = [name for name in gone.column_names if name in table.column_names]
    return pa.concat_tables([table, gone.select(columns)], promote_options="permissive")


def _end_empty(stack: Stack, run: Run, hi: datetime, actor: str, *, compares: bool) -> Run:
    with stack.ledger.write() as tx:
        if compares:
            tx.append(EventType.KEYS_COMPARED, actor, run=run.run_id, source=run.source, deleted="0")
        if tx.runs.get(run.run_id).phase is Phase.EXTRACTING:
            tx.windows.shorten(run.run_id, hi, actor)
        run = tx.runs.move(
            run.run_id, Phase.EMPTY, EventType.RUN_EMPTY, actor, expect=Phase.EXTRACTING, changes={"rows": 0}
        )
    stack.lake.delete_branch(run.branch)  # after that: who was slow must not delete what another one has brought
    return run


def _drop_known(stack: Stack, source: Source, run: Run, rows: list[dict[str, Any]]) -> tuple[Any, int, dict[str, str]]:
    """Return what is new of the rows as a table, None for nothing, how many were outdated, and their strange names.

    What was brought before goes first, before anything is typed: what is wrong with it is not this run's fault.
    """
    new = _drop_repeated(stack, source, run, rows)
    if not new:
        return None, 0, {}
    columns = stack.contract(source.name).columns
    table = build_batch(new, columns, zone=source.zone, optional=source.optional)
    brought = table.num_rows
    if run.window.backfill:
        table = _drop_outdated(stack, source, table)
    strange = find_strange_names(new, dict(columns))
    return (table if table.num_rows else None), brought - table.num_rows, strange


def _drop_repeated(stack: Stack, source: Source, run: Run, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Drop the rows that the overlap reads again: a version belongs to the run that brought it first.

    Whatever became of that run: rows of a failed or reverted one must not come back through the next one's overlap.
    Only a backfill brings them again, of the gaps it repairs.
    """
    window = run.window
    earlier = [
        other
        for other in stack.ledger.runs_over(run.source, window.shard, window.lo, window.hi)
        if other.window.seq < window.seq and other.window.seq not in window.repairs and other.commit is not None
    ]
    urls = [url for other in earlier for url in _locate_batch(stack, other)]
    if not urls or not rows:
        return rows
    columns = dict(stack.contract(source.name).columns)
    versions = build_versions(rows, columns.items(), zone=source.zone)
    with duck.connect() as connection:
        for alike, types in duck.group_by_columns(connection, urls, stack.lake.access):
            duck.create_view(connection, "seen", alike, stack.lake.access)
            connection.register("versions", versions)
            names = [name.removeprefix("brought ") for name in versions.column_names if name.startswith("brought ")]
            # a file keeps a column in its type, or as it was brought
            same = {
                name: f"{'brought' if types[name] == 'VARCHAR' else 'typed'} {name}" for name in names if name in types
            }
            new = [f"brought {name}" for name in names if name not in types]
            unseen = connection.execute(select_unseen("versions", "seen", same, new)).to_arrow_table()
            connection.unregister("versions")
            versions = unseen
    return [rows[number] for number in versions.column("row").to_pylist()]


def _drop_outdated(stack: Stack, source: Source, table: Any) -> Any:
    """Drop the rows of a backfill whose key has changed since: with their new `_seq` they would beat the change."""
    lake = stack.lake
    urls = locate_known(stack, source)
    if not urls:
        return table
    with duck.connect() as connection:
        duck.create_view(connection, "known", urls, lake.access)
        connection.register("batch", table)
        query = select_not_outdated("batch", "known", source.key, source.updated_at)
        return connection.execute(query).to_arrow_table()


def _locate_batch(stack: Stack, run: Run) -> tuple[str, ...]:
    # As it was brought, not as a person has corrected it since: the source still tells the old rows.
    brought = stack.ledger.events(run_id=run.run_id, type=EventType.BATCH_COMMITTED)
    commits = {event.payload["commit"] for event in brought}
    return tuple(
        url
        for commit in sorted(commits)
        for url in stack.lake.locate(commit, stack.lake.list_objects(commit, run.folder))
    )
