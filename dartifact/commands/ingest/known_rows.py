"""What `main` and the merge queue hold of a source already, and which of it the source has deleted without a word."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from dartifact.adapters.lakefs.lake import MAIN
from dartifact.adapters.tables import duck
from dartifact.adapters.tables.batches import build_batch
from dartifact.commands.stack import Stack
from dartifact.compare.current import select_current, select_gone
from dartifact.domain import errors
from dartifact.domain.events import EventType
from dartifact.domain.runs import Phase, Run
from dartifact.domain.sources import Source

_UNDER_WAY = (Phase.CHECKING, Phase.QUEUED)
_MOST_GONE = 0.2


class KeyLister(Protocol):
    """What the extractor of a source with `key_snapshot` can do as well."""

    def list_keys(self) -> Iterator[list[dict[str, Any]]]:
        """Yield pages of rows that hold the key columns of every record there is now, of all shards."""


def locate_known(stack: Stack, source: Source) -> list[str]:
    """Return the batch files of a source in `main` and of its runs on the way there."""
    lake = stack.lake
    head = lake.head(MAIN).commit_id
    urls = [*lake.locate(head, lake.list_objects(head, f"raw/{source.name}/"))]
    for each in stack.ledger.runs(phases=_UNDER_WAY, source=source.name):
        if each.commit:
            urls += lake.locate(each.commit, lake.list_objects(each.commit, each.folder))
    return urls


def is_snapshot_due(stack: Stack, source: Source, run: Run) -> bool:
    """Say whether a run compares the keys: the first ingestor's, once each `key_snapshot` of the source's time."""
    if source.key_snapshot is None or run.window.backfill or run.window.shard or run.window.backlog:
        return False
    compared = stack.ledger.events(type=EventType.KEYS_COMPARED)
    last = [stack.ledger.run(each.run_id) for each in compared if each.run_id and each.payload["source"] == source.name]
    return not last or run.window.hi - last[-1].window.hi >= source.key_snapshot


def find_deleted(stack: Stack, source: Source, keys: Iterator[list[dict[str, Any]]], run: Run) -> Any:
    """Return the current rows whose keys the source no longer has, as deleted at the end of the run's window.

    SourceMalformed when that would be more than a fifth of them: an answer cut short must not empty a table.
    """
    contract = dict(stack.contract(source.name).columns)
    listed = [{name: row.get(name) for name in source.key} for page in keys for row in page]
    urls = locate_known(stack, source)
    columns = {name: contract[name] for name in source.key}
    there = build_batch(listed, columns.items(), zone=source.zone)
    with duck.connect() as connection:
        if not urls:
            return build_batch([], contract.items(), zone=source.zone)
        duck.create_view(connection, "known", urls, stack.lake.access)
        connection.execute(f"CREATE TEMP TABLE current AS {select_current('known', source.key, source.updated_at)}")
        connection.register("listed", there)
        query = select_gone("current", "listed", source.key, list(contract), source.updated_at)
        gone = connection.execute(query, [run.window.hi]).to_arrow_table()
        row = connection.execute("SELECT count(*) FROM current").fetchone()
    rows = row[0] if row else 0
    if gone.num_rows > _MOST_GONE * rows:
        message = (
            f"{source.name} names {len(listed):,} keys: {gone.num_rows:,} of {rows:,} current rows would be deleted"
        )
        raise errors.SourceMalformed(message, hint="look at the source; nothing was deleted")
    return gone
