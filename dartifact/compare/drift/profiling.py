"""Profiles a batch with DuckDB: the runner of `profile_sql`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import duckdb

from dartifact.compare.drift import profile_sql
from dartifact.domain.profiles import FLAGS, ColumnLayout, ColumnProfile, Kind, Layout, Profile, next_layout
from dartifact.domain.sources import SYSTEM_COLUMNS, Source
from dartifact.domain.sql_text import literal, quote

_HIDDEN = (*SYSTEM_COLUMNS, "file_row_number")


@dataclass(frozen=True, slots=True)
class Scan:
    """What is profiled: live rows of a relation, from the window (lo, hi]."""

    connection: duckdb.DuckDBPyConnection
    relation: str
    lo: datetime
    hi: datetime

    @property
    def live(self) -> str:
        """Return the relation without deletions, as SQL."""
        return f"(SELECT * FROM {self.relation} WHERE _deleted IS NOT TRUE)"

    @property
    def end(self) -> str:
        """Return the end of the window, as SQL."""
        return f"TIMESTAMPTZ {literal(self.hi.isoformat())}"

    @property
    def seconds(self) -> float:
        """Return the length of the window."""
        return (self.hi - self.lo).total_seconds()


def profile_batch(scan: Scan, history: Sequence[Profile]) -> Profile:
    """Profile a batch as the newest of `history` was, or in a layout of its own where there is none.

    A column that is new, or of another kind than before, is measured in a layout of its own, too.
    """
    kinds = _find_kinds(scan)
    known = next_layout(history) if history else {}
    layout = {name: known[name] for name, kind in kinds.items() if name in known and known[name].kind is kind}
    fresh = {name: kind for name, kind in kinds.items() if name not in layout}
    layout |= _lay_out(scan, fresh) if fresh else {}
    return _measure(scan, {name: layout[name] for name in kinds})


def profile_as(scan: Scan, layout: Layout, names: Mapping[str, str]) -> Profile:
    """Profile some columns in the layouts of others: `names` maps the column whose layout is used to the one read."""
    picked = ", ".join(f"{quote(read)} AS {quote(name)}" for name, read in names.items())
    swapped = replace(scan, relation=f"(SELECT {picked}, _deleted FROM {scan.relation})")
    return _measure(swapped, {name: layout[name] for name in names})


def add_known(scan: Scan, profile: Profile, source: Source, before: str) -> Profile:
    """Add to a profile how its rows compare with those of `before`, the current table without this batch."""
    theirs = {row[0] for row in scan.connection.execute(f"DESCRIBE SELECT * FROM {before}").fetchall()}
    columns = [name for name in profile.columns if name in theirs]
    if not {*source.key, source.updated_at} <= {*columns}:
        return profile
    moving = [name for name in columns if profile.columns[name].layout.values is not None]
    query = profile_sql.compare_with_known(columns, source.key, source.updated_at, moving, scan.live, before)
    known, repeated, *moves = scan.connection.execute(query).fetchall()[0]
    found = {name: counts for name, counts in zip(moving, moves, strict=True) if counts}
    return replace(profile, known=known, repeated=repeated, moves=found)


def _find_kinds(scan: Scan) -> dict[str, Kind]:
    described = scan.connection.execute(f"DESCRIBE SELECT * FROM {scan.relation}").fetchall()
    kinds = {row[0]: profile_sql.kind_of(str(row[1])) for row in described if row[0] not in _HIDDEN}
    return {name: kind for name, kind in kinds.items() if kind is not None}


def _lay_out(scan: Scan, columns: Mapping[str, Kind]) -> dict[str, ColumnLayout]:
    layout: dict[str, ColumnLayout] = {}
    for name, *found in scan.connection.execute(profile_sql.explore(columns, scan.live, scan.end)).fetchall():
        chosen = profile_sql.choose_layout(columns[name], *found)
        if chosen.values is not None or chosen.shapes is not None:
            query = profile_sql.list_known(name, chosen, scan.live, scan.end)
            listed = tuple(row[0] for row in scan.connection.execute(query).fetchall())
            chosen = replace(chosen, values=listed) if chosen.values is not None else replace(chosen, shapes=listed)
        layout[name] = chosen
    return layout


def _measure(scan: Scan, layout: Layout) -> Profile:
    cursor = scan.connection.execute(profile_sql.profile(layout, scan.live, scan.end, scan.seconds))
    names = [column[0] for column in cursor.description or ()]
    found = dict(zip(names, cursor.fetchall()[0], strict=True))
    every = scan.connection.execute(f"SELECT count(*) FROM {scan.relation}").fetchall()[0][0]
    rows = found["rows"]
    columns = {}
    for number, (name, column_layout) in enumerate(layout.items()):
        mine = {key.removeprefix(f"c{number}_"): value for key, value in found.items() if key.startswith(f"c{number}_")}
        columns[name] = _read_column(scan, name, column_layout, mine, rows)
    pairs = {
        f"{first}|{second}": (found[f"p{number}_less"], found[f"p{number}_more"])
        for number, (first, second) in enumerate(profile_sql.pairs_of(layout))
    }
    return Profile(rows, every - rows, scan.seconds, columns, pairs)


def _read_column(scan: Scan, name: str, layout: ColumnLayout, found: Mapping[str, Any], rows: int) -> ColumnProfile:
    count, values = found["count"], found.get("values") or {}
    new: dict[str, int] = {}
    if layout.values is not None and sum(values.values()) < count:
        query = profile_sql.find_new_values(name, layout, scan.live, scan.end)
        new = dict(scan.connection.execute(query).fetchall())
    measures: dict[str, float] = {}
    if count:
        measures = {key: found[key] for key in ("min", "max", "mean")}
        measures |= dict(zip(profile_sql.QUANTILES, found["quantiles"], strict=True))
    return ColumnProfile(
        layout,
        rows=count,
        nulls=rows - count,
        distinct=min(found["distinct"], count),
        measures=measures,
        flags={flag: found[f"flag_{flag}"] for flag in FLAGS[layout.kind] if f"flag_{flag}" in found},
        bins=profile_sql.bins_of(found["bins"], layout.edges, count),
        values=values,
        new_values=new,
        shapes=found.get("shapes") or {},
    )
