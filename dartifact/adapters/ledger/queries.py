"""What is asked of the ledger's tables, as SQLAlchemy selects; a transaction and a plain read ask the same."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa

from dartifact.adapters.ledger import tables as t
from dartifact.domain.events import EventType
from dartifact.domain.runs import Phase

_WINDOW = [column for column in t.windows.c if column.name not in ("seq", "source", "state")]
RUNS = sa.select(t.runs, *_WINDOW, t.windows.c.state.label("window")).select_from(
    t.runs.join(t.windows, t.runs.c.seq == t.windows.c.seq)
)
"""Selects what `rows.to_run` reads."""


def select_runs(
    names: Collection[str] | None,
    phases: Collection[Phase] | None,
    ingestor: str | None,
    source: str | None,
    before: int | None,
) -> sa.Select[Any]:
    """Select the runs that every given condition is true of, the newest claim first; `before` is a window's seq."""
    query = RUNS.order_by(t.runs.c.seq.desc())
    if names is not None:
        query = query.where(t.runs.c.run_id.in_(names))
    if phases is not None:
        query = query.where(t.runs.c.phase.in_([phase.value for phase in phases]))
    if ingestor is not None:
        query = query.where(t.runs.c.ingestor == ingestor)
    if source is not None:
        query = query.where(t.runs.c.source == source)
    if before is not None:
        query = query.where(t.runs.c.seq < before)
    return query


def select_runs_over(source: str, shard: int, lo: datetime, hi: datetime) -> sa.Select[Any]:
    """Select the runs of one shard whose windows overlap (lo, hi], in claiming order."""
    w = t.windows.c
    return RUNS.where(w.source == source, w.shard == shard, w.hi > lo, w.lo < hi).order_by(w.seq)


def select_last_claim(source: str, shard: int, before: int | None = None) -> sa.Select[Any]:
    """Select the end of the last ordinary window of a shard, before a seq if given, as `hi`."""
    w = t.windows.c
    query = sa.select(sa.func.max(w.hi).label("hi")).where(
        w.source == source, w.shard == shard, w.backfill.is_(sa.false())
    )
    return query if before is None else query.where(w.seq < before)


def select_newest_claims() -> sa.Select[Any]:
    """Select the newest ordinary window of each shard of each source."""
    w, is_claim = t.windows.c, t.windows.c.backfill.is_(sa.false())
    newest = sa.select(w.source, w.shard, sa.func.max(w.hi)).where(is_claim).group_by(w.source, w.shard)
    query = sa.select(t.windows, w.state.label("window"))
    return query.where(is_claim, sa.tuple_(w.source, w.shard, w.hi).in_(newest)).order_by(w.source, w.shard)


def select_profiles(ingestor: str, before: int) -> sa.Select[Any]:
    """Select the profiles of an ingestor's runs in `main` as they were merged, from before a window's seq on back."""
    r, p = t.runs.c, t.profiles.c
    query = sa.select(p.body).select_from(t.profiles.join(t.runs, p.run_id == r.run_id))
    query = query.where(r.ingestor == ingestor, r.seq < before, p.commit_id == r.commit_id)
    return query.where(r.phase.in_([Phase.MERGED.value, Phase.LIVE.value])).order_by(r.seq.desc())


def select_waivers(run_ids: Collection[str], datasets: Collection[str], *, everything: bool) -> sa.Select[Any]:
    """Select the waivers of these runs and datasets, the newest first; `Ledger.waivers` says what is without any."""
    w = t.waivers.c
    query = sa.select(t.waivers).order_by(w.waiver_id.desc())
    if run_ids or datasets:
        return query.where((w.run_id.is_(None) & w.dataset.in_(datasets)) | w.run_id.in_(run_ids))
    return query if everything else query.where(w.run_id.is_(None), w.ended_at.is_(None))


def select_newest_events(
    run_id: str | None, dartifact_id: str | None, type: str | None, actor: str | None, before: int | None
) -> sa.Select[Any]:
    """Select the events that every given condition is true of, the newest first; `before` is a sequence number."""
    e = t.events.c
    query = sa.select(t.events).order_by(e.sequence.desc())
    for column, value in ((e.run_id, run_id), (e.dartifact_id, dartifact_id), (e.type, type), (e.actor, actor)):
        if value is not None:
            query = query.where(column == value)
    return query if before is None else query.where(e.sequence < before)


def select_refusals(run_id: str) -> sa.Select[Any]:
    """Select the events of refused candidates that a run was part of, the newest first."""
    names = sa.cast(t.events.c.payload, sa.String).contains(f'"{run_id}"', autoescape=True)
    query = sa.select(t.events).where(t.events.c.type == EventType.CANDIDATE_REFUSED, names)
    return query.order_by(t.events.c.sequence.desc())


def select_next_name(column: Literal["type", "actor"], after: str) -> sa.Select[Any]:
    """Select the first type of event, or actor, that comes after a name in the order of the alphabet."""
    return sa.select(sa.func.min(t.events.c[column])).where(t.events.c[column] > after)
