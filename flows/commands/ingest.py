"""Ingest: claim a window, bring its rows to a run branch, ask the local gate, request the merge."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from flows.adapters import duck
from flows.adapters.batches import add_system_columns, build_batch, write_parquet
from flows.adapters.lake import MAIN
from flows.adapters.ledger_writer import Writer
from flows.commands.gates import ask_again, check_batch
from flows.commands.stack import Runner, Stack, hold_lease, run_plainly
from flows.compare.current import select_unseen
from flows.domain import errors
from flows.domain.checks import Gate, VerdictKind, judge
from flows.domain.runs import UNFINISHED, Phase, Run
from flows.domain.sources import Source
from flows.domain.windows import next_window

_LOOK_BACK = 100  # how many runs back an overlap may reach


class Extractor(Protocol):
    """What a source's flow file gives: its own clock, and the change records of a stretch of it."""

    def read_clock(self) -> datetime:
        """Return the source's own time."""

    def fetch(self, lo: datetime, hi: datetime, *, shard: int, shards: int) -> Iterator[list[dict[str, Any]]]:
        """Yield pages of change records with lo < updated_at <= hi of one shard."""


def ingest(
    stack: Stack, source: Source, extractor: Extractor, ingestor: str, *, actor: str, run: Runner = run_plainly
) -> tuple[Run, ...]:
    """Finish what this ingestor left unfinished, then bring the next window; return the runs as they stand.

    Empty when the source's clock has not moved. A run that a gate stopped is returned, not raised: it stays on its
    branch. Raises SourceUnavailable, SourceMalformed, LakeUnavailable, OutcomeUnknown when it could not be finished:
    the same call again goes on where this one stopped. Locked when the ingestor is at work elsewhere.
    """
    shard = source.shard(ingestor)
    with hold_lease(stack.ledger, f"ingest {ingestor}"):
        unfinished = stack.ledger.runs(phases=UNFINISHED, ingestor=ingestor)
        waiting = [
            each
            for each in stack.ledger.runs(phases=(Phase.HELD,), ingestor=ingestor)
            if each.gate is Gate.LOCAL and each.held_until and each.held_until > stack.clock()
        ]
        finished = []
        for each in sorted((*unfinished, *waiting), key=lambda r: r.window.seq):
            finished.append(_carry(stack, source, extractor, each, actor, run))
        now = run("read the source's clock", extractor.read_clock)
        last = stack.ledger.last_claim(source.name, shard)
        claim = next_window(last, now, start=source.start, overlap=source.overlap, max_window=source.max_window)
        if claim is None:
            return tuple(finished)
        with stack.ledger.write() as tx:
            claimed = tx.claim_window(source, ingestor, *claim, after=last, actor=actor)
        return (*finished, _carry(stack, source, extractor, claimed, actor, run))


def _carry(stack: Stack, source: Source, extractor: Extractor, run: Run, actor: str, step: Runner) -> Run:
    """Bring one run from wherever it stands to the queue or to the gate that stops it."""
    try:
        if run.phase is Phase.EXTRACTING:
            run = step(f"extract {run.run_id}", lambda: _extract(stack, source, extractor, run, actor))
        if run.phase in (Phase.CHECKING, Phase.HELD):
            run = step(f"check {run.run_id}", lambda: _check_locally(stack, source, run, actor))
    except errors.ChecksErrored as error:
        _give_up_later(stack, run.run_id, actor, error)
        raise
    return run


def _give_up_later(stack: Stack, run_id: str, actor: str, error: errors.ChecksErrored) -> None:
    with stack.ledger.write() as tx:
        attempts = tx.note_attempt(run_id, actor, error.message)
        if attempts >= stack.policy.attempts and tx.run(run_id).phase is Phase.EXTRACTING:
            # The window is a hole now and the next run flows past; a person, or a backfill, closes it.
            reasons = [f"gave up after {attempts} attempts: {error.message}"]
            tx.move_run(run_id, Phase.HELD, "RunHeld", actor, changes={"reasons": reasons}, reasons=reasons)


def _extract(stack: Stack, source: Source, extractor: Extractor, run: Run, actor: str) -> Run:
    lake = stack.lake
    if not lake.has_branch(run.branch):
        lake.create_branch(run.branch, lake.head(MAIN).commit_id)
    commit = lake.head(run.branch)
    if commit.metadata.get("run") != run.run_id:
        window = run.window
        pages = extractor.fetch(window.lo, window.hi, shard=window.shard, shards=len(source.ingestors))
        rows = [row for page in pages for row in page]
        if not rows:
            return _end_empty(stack, run, actor)
        table = build_batch(rows, stack.contract(source.name).columns, zone=source.zone)
        table = _drop_repeated(stack, run, table)
        if not table.num_rows:
            return _end_empty(stack, run, actor)
        table = add_system_columns(table, run_id=run.run_id, seq=window.seq, extracted_at=stack.clock())
        with tempfile.TemporaryDirectory(prefix="batch-", dir=stack.home) as folder:
            path = Path(folder) / "part-0.parquet"
            write_parquet(table, path)
            lake.upload(run.branch, f"{run.folder}part-0.parquet", path)
        metadata = {
            "run": run.run_id,
            "actor": actor,
            "rows": str(table.num_rows),
            "repeated": str(len(rows) - table.num_rows),
            "seq": str(window.seq),
            "lo": window.lo.isoformat(),
            "hi": window.hi.isoformat(),
        }
        commit = lake.commit(run.branch, f"bring {table.num_rows} rows of {source.name}", metadata)
    changes: dict[str, Any] = {
        "commit_id": commit.commit_id,
        "rows": int(commit.metadata["rows"]),
        "attempts": 0,
        "reasons": [],
    }
    with stack.ledger.write() as tx:
        return tx.move_run(run.run_id, Phase.CHECKING, "BatchCommitted", actor, expect=Phase.EXTRACTING,
                           changes=changes, commit=commit.commit_id, rows=changes["rows"])  # fmt: skip


def _end_empty(stack: Stack, run: Run, actor: str) -> Run:
    with stack.ledger.write() as tx:
        run = tx.move_run(run.run_id, Phase.EMPTY, "RunEmpty", actor, expect=Phase.EXTRACTING, changes={"rows": 0})
    stack.lake.delete_branch(run.branch)  # after that: who was slow must not delete what another one has brought
    return run


def _drop_repeated(stack: Stack, run: Run, table: Any) -> Any:
    """Drop the rows that the overlap reads again: a version belongs to the run that brought it first.

    Whatever became of that run: rows of a failed or reverted one must not come back through the next one's overlap.
    """
    earlier = [
        each
        for each in stack.ledger.runs(source=run.source, most=_LOOK_BACK)
        if each.window.shard == run.window.shard
        and each.window.seq < run.window.seq
        and each.window.hi > run.window.lo
        and each.commit is not None
    ]
    urls = [url for each in earlier for url in _locate_batch(stack, each)]
    if not urls:
        return table
    with duck.connect(stack.lake.access) as connection:
        duck.create_view(connection, "seen", urls, stack.lake.access)
        connection.register("batch", table)
        known = {row[0] for row in connection.execute("SELECT column_name FROM (DESCRIBE seen)").fetchall()}
        columns = [name for name in table.column_names if name in known]
        return connection.execute(select_unseen("batch", "seen", columns)).to_arrow_table()


def _locate_batch(stack: Stack, run: Run) -> tuple[str, ...]:
    # As it was brought, not as a person has corrected it since: the source still tells the old rows.
    brought = stack.ledger.events(run_id=run.run_id, type="BatchCommitted")
    commits = {event.payload["commit"] for event in brought}
    return tuple(
        url
        for commit in sorted(commits)
        for url in stack.lake.locate(commit, stack.lake.list_objects(commit, run.folder))
    )


def _check_locally(stack: Stack, source: Source, run: Run, actor: str) -> Run:
    if run.commit is None:
        raise errors.UsageError(
            f"run {run.run_id} was held before it had a commit", hint=f"dartifact show {run.run_id}"
        )
    ingestor = next(each for each in source.ingestors if each.name == run.ingestor)
    if not ingestor.local_gate or ingestor.name in stack.policy.skip_local_gate:
        with stack.ledger.write() as tx:
            tx.append("LocalGateLeftOut", actor, run=run.run_id)
            return request_merge(tx, run, actor, None)
    commit = stack.lake.commit_of(run.commit)
    report = ask_again(lambda: check_batch(stack, run, commit), stack.policy.attempts)
    verdict = judge(report.results)
    with stack.ledger.write() as tx:
        digest = tx.save_report(report, verdict)
        if verdict.kind is VerdictKind.PASS:
            return request_merge(tx, run, actor, digest)
        phase, event = (Phase.FAILED, "RunFailed") if verdict.kind is VerdictKind.FAIL else (Phase.HELD, "RunHeld")
        until = stack.clock() + stack.policy.orphan_grace if phase is Phase.HELD else None
        changes = {"report": digest, "reasons": list(verdict.reasons), "held_until": until}
        return tx.move_run(run.run_id, phase, event, actor, expect=run.phase, gate=Gate.LOCAL, changes=changes,
                           reasons=list(verdict.reasons), branch=run.branch, commit=run.commit)  # fmt: skip


def request_merge(tx: Writer, run: Run, actor: str, digest: str | None) -> Run:
    """Create the merge request of a run whose local gate passed or was left out; policy approves it at once."""
    changes: dict[str, Any] = {"report": digest, "reasons": [], "held_until": None}
    queued = tx.move_run(run.run_id, Phase.QUEUED, "MergeRequested", actor, expect=run.phase, gate=Gate.LOCAL,
                              changes=changes, commit=run.commit, report=digest)  # fmt: skip
    tx.append("MergeApproved", "policy:merge", run=run.run_id, commit=run.commit, report=digest)
    return queued
