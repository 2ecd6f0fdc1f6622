"""The SQL of a table diff: pure text over two relations.

Result tables name columns by position, so that no name of a user's column can clash: `k0…` the key as it is compared,
`b0…` and `c0…` the compared columns of base and candidate as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dartifact.compare.diff.columns import Column, Tolerance
from dartifact.domain.sql_text import literal, quote

Condition = str


@dataclass(frozen=True, slots=True)
class Shape:
    """What is compared: the columns of the key (none: rows are compared as multisets) and the others."""

    base: str
    candidate: str
    key: tuple[Column, ...]
    values: tuple[Column, ...]
    tolerance: Tolerance | None = None
    has_null_keys: bool = True  # may have some; false is proven, and makes the joins cheaper

    @property
    def keys(self) -> list[str]:
        """Name the key's columns in the result tables."""
        return [f"k{number}" for number in range(len(self.key))]


def create_differing(shape: Shape) -> str:
    """Create the empty table of the rows that differ: kind, key, both sides."""
    keys = [f"{column.value(f'b.{quote(column.name)}')} AS k{n}" for n, column in enumerate(shape.key)]
    values = [f"{side}.{quote(column.name)} AS {side}{n}" for side in "bc" for n, column in enumerate(shape.values)]
    columns = ", ".join(["'' AS kind", *keys, *values])
    return (
        f"CREATE OR REPLACE TEMP TABLE differing AS SELECT {columns} FROM {shape.base} b, {shape.candidate} c LIMIT 0"
    )


def find_null_key(shape: Shape, side: str) -> str:
    """Select whether a row of a side lacks a part of its key."""
    return f"SELECT coalesce(bool_or({' OR '.join(f'{key} IS NULL' for key in _keys(shape))}), false) FROM {side}"


def prove_unique(shape: Shape, side: str) -> str:
    """Count the rows whose key is not above that of the row read before: one (the first) proves every key unique.

    It holds in whatever order the rows are read; rows that are read out of order only leave it open.
    """
    columns = _keys(shape)
    key = columns[0] if len(columns) == 1 else f"row({', '.join(columns)})"
    return f"SELECT count(*) FROM (SELECT {key} > lag({key}) OVER () AS up FROM {side}) WHERE up IS NOT TRUE"


def insert_repeated(shape: Shape, side: str) -> str:
    """Add the keys that stand more than once on a side to the table `repeated`."""
    keys = ", ".join(f"{key} AS k{n}" for n, key in enumerate(_keys(shape)))
    mark = literal(side)
    return f"INSERT INTO repeated SELECT {mark}, {keys} FROM {side} GROUP BY ALL HAVING count(*) > 1"


def create_repeated(shape: Shape) -> str:
    """Create the empty table of repeated keys."""
    keys = ", ".join(f"{key} AS k{n}" for n, key in enumerate(_keys(shape)))
    return f"CREATE OR REPLACE TEMP TABLE repeated AS SELECT '' AS side, {keys} FROM {shape.base} LIMIT 0"


def find_suspects(shape: Shape, within: Condition, *, repeated: bool) -> str:
    """Create `suspects`: rows of the candidate without an equal partner, with its values, and keys of the base alone.

    Rows of one key are taken as equal when their 64-bit hashes are. Only the narrow side of the join is kept in
    memory; the candidate streams past it.
    """
    theirs = ", ".join(["true AS here", *_named_keys(shape), *_named_values(shape), f"{_hash(shape.values)} AS h"])
    mine = ", ".join(["true AS here", *_named_keys(shape), f"{_hash(shape.values)} AS h"])
    keys = ", ".join(f"coalesce(b.{key}, c.{key}) AS {key}" for key in shape.keys)
    values = "".join(f", c.v{n}" for n in range(len(shape.values)))
    return (
        f"CREATE OR REPLACE TEMP TABLE suspects AS "
        f"SELECT b.here IS NOT NULL AS in_base, c.here IS NOT NULL AS in_candidate, {keys}{values} "
        f"FROM ({_select(shape, shape.candidate, theirs, within, repeated)}) c "
        f"FULL JOIN ({_select(shape, shape.base, mine, within, repeated)}) b ON {_same_key(shape, 'b', 'c')} "
        f"WHERE b.h IS DISTINCT FROM c.h"
    )


def find_originals(shape: Shape, within: Condition) -> str:
    """Create `originals`: the rows of the base whose keys are among the suspects."""
    columns = ", ".join([*_named_keys(shape), *_named_values(shape)])
    rows = _select(shape, shape.base, columns, within, repeated=False)
    return (
        f"CREATE OR REPLACE TEMP TABLE originals AS SELECT o.* FROM ({rows}) o "
        f"SEMI JOIN (SELECT {', '.join(shape.keys)} FROM suspects WHERE in_base) s ON {_same_key(shape, 'o', 's')}"
    )


def insert_pairs(shape: Shape) -> str:
    """Add the suspects that do differ to `differing`."""
    kind = "CASE WHEN NOT s.in_base THEN 'added' WHEN NOT s.in_candidate THEN 'removed' ELSE 'changed' END"
    differs = " OR ".join(
        column.differs(f"o.v{n}", f"s.v{n}", shape.tolerance) for n, column in enumerate(shape.values)
    )
    numbers = range(len(shape.values))
    columns = [f"s.{key}" for key in shape.keys] + [f"o.v{n}" for n in numbers] + [f"s.v{n}" for n in numbers]
    return (
        f"INSERT INTO differing SELECT {kind}, {', '.join(columns)} FROM suspects s "
        f"LEFT JOIN originals o ON {_same_key(shape, 'o', 's')} "
        f"WHERE NOT s.in_base OR NOT s.in_candidate OR {differs or 'false'}"
    )


def insert_unpaired(shape: Shape) -> str:
    """Add what is left of the rows with repeated keys once equal rows have cancelled out, one against one."""
    numbers = range(len(shape.values))
    compared = [f"w{n}" for n in numbers]
    casts = [f"{column.value(quote(column.name))} AS w{n}" for n, column in enumerate(shape.values)]
    columns = ", ".join([*_named_keys(shape), *_named_values(shape), *casts, f"{_hash(shape.values)} AS h"])
    picked = f"repeated t ON {_same(shape.keys, 'x', 't')}" if shape.key else "unbalanced t ON x.h = t.h"
    parts = ", ".join([*shape.keys, *compared, "h"])

    def rows(side: str) -> str:
        found = f"SELECT x.* FROM (SELECT {columns} FROM {side}) x SEMI JOIN {picked}"
        return f"SELECT true AS here, *, row_number() OVER (PARTITION BY {parts}) AS n FROM ({found})"

    kind = "CASE WHEN b.here THEN 'removed' ELSE 'added' END"
    out = [f"coalesce(b.{key}, c.{key})" for key in shape.keys] + [f"{side}.v{n}" for side in "bc" for n in numbers]
    return (
        f"INSERT INTO differing SELECT {', '.join([kind, *out])} "
        f"FROM ({rows(shape.base)}) b FULL JOIN ({rows(shape.candidate)}) c "
        f"ON {_same([*shape.keys, *compared, 'n'], 'b', 'c')} WHERE b.here IS NULL OR c.here IS NULL"
    )


def create_unbalanced(shape: Shape) -> str:
    """Create `unbalanced`: the hashes of whole rows that one side has more often than the other."""
    return (
        f"CREATE OR REPLACE TEMP TABLE unbalanced AS SELECT h FROM ("
        f"SELECT {_hash(shape.values)} AS h, 1 AS n FROM {shape.base} UNION ALL "
        f"SELECT {_hash(shape.values)} AS h, -1 AS n FROM {shape.candidate}) GROUP BY h HAVING sum(n) <> 0"
    )


def select_report_order(shape: Shape, *, ties: bool) -> str:
    """Select `differing` with `row`, its position by key; `ties`: several rows may share a key."""
    numbers = range(len(shape.values))
    last = ["kind", *(f"{side}{n} NULLS FIRST" for side in "bc" for n in numbers)] if ties else []
    order = ", ".join([*(f"{key} NULLS FIRST" for key in shape.keys), *last]) or "1"
    return f'SELECT row_number() OVER (ORDER BY {order}) AS "row", * FROM differing'


def select_renames(shape: Shape, pairs: Sequence[tuple[str, str]], *, most: int | None) -> str:
    """Select, for each (dropped, added) pair of columns, whether they hold the same values on the matched keys."""
    checks = ", ".join(
        f"coalesce(bool_and(b.{quote(old)} IS NOT DISTINCT FROM c.{quote(new)}) "
        f"AND bool_or(b.{quote(old)} IS NOT NULL), false)"
        for old, new in pairs
    )

    def rows(side: str, names: Iterable[str]) -> str:
        columns = ", ".join([*_named_keys(shape), *(quote(name) for name in dict.fromkeys(names))])
        return f"SELECT {columns} FROM {side}"

    base, candidate = rows(shape.base, (old for old, _ in pairs)), rows(shape.candidate, (new for _, new in pairs))
    limit = f" LIMIT {most}" if most else ""
    return (
        f"SELECT {checks} FROM ({base}) b JOIN ({candidate}{limit}) c ON {_same(shape.keys, 'b', 'c')} "
        f"ANTI JOIN repeated t ON {_same(shape.keys, 'c', 't')}"
    )


def _select(shape: Shape, side: str, columns: str, within: Condition, repeated: bool) -> str:
    rows = f"SELECT {columns} FROM {side} WHERE {within}"
    return f"SELECT x.* FROM ({rows}) x ANTI JOIN repeated t ON {_same(shape.keys, 'x', 't')}" if repeated else rows


def _keys(shape: Shape) -> list[str]:
    return [column.value(quote(column.name)) for column in shape.key]


def _named_keys(shape: Shape) -> list[str]:
    return [f"{key} AS k{n}" for n, key in enumerate(_keys(shape))]


def _named_values(shape: Shape) -> list[str]:
    return [f"{quote(column.name)} AS v{n}" for n, column in enumerate(shape.values)]


def _hash(columns: Sequence[Column]) -> str:
    return f"hash({', '.join(column.value(quote(column.name)) for column in columns) or 'true'})"


def _same_key(shape: Shape, left: str, right: str) -> str:
    if shape.has_null_keys:
        return _same(shape.keys, left, right)
    return " AND ".join(f"{left}.{key} = {right}.{key}" for key in shape.keys)


def _same(names: Sequence[str], left: str, right: str) -> str:
    return " AND ".join(f"{left}.{name} IS NOT DISTINCT FROM {right}.{name}" for name in names)
