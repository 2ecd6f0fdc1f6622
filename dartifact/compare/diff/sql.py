"""The SQL of a table diff: pure text over two relations.

Result tables name columns by position, so that no name of a user's column can clash: `k0…` the key as it is compared,
`b0…` and `c0…` the compared columns of base and candidate as they are, `d0…` whether they differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from dartifact.compare.diff.columns import Column, Tolerance, store
from dartifact.domain.sql_text import quote

Condition = str
End = Literal["base", "candidate"]


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

    @property
    def numbers(self) -> range:
        """Return the positions of the value columns."""
        return range(len(self.values))

    def relation(self, end: End) -> str:
        """Return the relation of one side."""
        return self.base if end == "base" else self.candidate


def create_differing(shape: Shape) -> str:
    """Create the empty table of the rows that differ: kind, key, both sides, and which columns do."""
    return f"CREATE OR REPLACE TEMP TABLE differing AS {_select_joined(shape, 'true', repeated=False)} LIMIT 0"


def create_repeated(shape: Shape) -> str:
    """Create the empty table of the keys that stand more than once on a side."""
    keys = ", ".join(_named_keys(shape, "base"))
    return f"CREATE OR REPLACE TEMP TABLE repeated AS SELECT '' AS side, {keys} FROM {shape.base} LIMIT 0"


def measure_keys(shape: Shape, end: End) -> str:
    """Select the rows of a side, how many keys are not above that of the row read before, and how many lack a part.

    One (the first) proves every key unique. It holds in whatever order the rows are read; rows that are read out of
    order only leave it open.
    """
    columns = find_keys(shape, end)
    key = columns[0] if len(columns) == 1 else f"row({', '.join(columns)})"
    lacks = " OR ".join(f"{column} IS NULL" for column in columns)
    return (
        f"SELECT count(*), count(*) FILTER (up IS NOT TRUE), count(*) FILTER (lacks) "
        f"FROM (SELECT {key} > lag({key}) OVER () AS up, {lacks} AS lacks FROM {shape.relation(end)})"
    )


def insert_repeated(shape: Shape, end: End) -> str:
    """Add the keys that stand more than once on a side to the table `repeated`."""
    keys = ", ".join(_named_keys(shape, end))
    return f"INSERT INTO repeated SELECT '{end}', {keys} FROM {shape.relation(end)} GROUP BY ALL HAVING count(*) > 1"


def insert_joined(shape: Shape, within: Condition, *, repeated: bool) -> str:
    """Add the rows that one side lacks, or that differ in a value, to `differing`; values are compared themselves."""
    return f"INSERT INTO differing {_select_joined(shape, within, repeated=repeated)}"


def insert_unpaired(shape: Shape) -> str:
    """Add what is left of the rows with repeated keys, or without any, once equal rows have cancelled out.

    Rows are grouped by all their values, which are compared themselves.
    """
    numbers = shape.numbers
    own = [n for n in numbers if shape.values[n].has_own_parts]
    parts = [*shape.keys, *(f"w{n}" for n in numbers)] or ["here"]
    sides = "".join(
        f", any_value(v{n}) FILTER (one = {one}) AS {side}{n}" for one, side in ((1, "b"), (-1, "c")) for n in own
    )
    grouped = (
        f"SELECT {', '.join(parts)}{sides}, sum(one) AS extra "
        f"FROM ({_select_whole(shape, 'base', 1)} UNION ALL {_select_whole(shape, 'candidate', -1)}) "
        f"GROUP BY {', '.join(parts)} HAVING sum(one) <> 0"
    )

    def show(side: str, sign: str) -> Iterable[str]:
        for n, column in enumerate(shape.values):
            value = f"{side}{n}" if n in own else f"w{n}"
            yield f"CASE WHEN extra {sign} 0 THEN {store(value, _type_of(column, side))} END AS {side}{n}"

    columns = [
        "CASE WHEN extra > 0 THEN 'removed' ELSE 'added' END AS kind",
        *(f"{store(key, column.compared_type)} AS {key}" for key, column in zip(shape.keys, shape.key, strict=True)),
        *show("b", ">"),
        *show("c", "<"),
        *(f"true AS d{n}" for n in numbers),
    ]
    copies = f"SELECT *, unnest(range(CAST(abs(extra) AS BIGINT))) FROM ({grouped})"
    return f"INSERT INTO differing SELECT {', '.join(columns)} FROM ({copies})"


def select_report_order(shape: Shape, *, ties: bool) -> str:
    """Select `differing` with `row`, its position by key; `ties`: several rows may share a key."""
    last = ["kind", *(f"{side}{n} NULLS FIRST" for side in "bc" for n in shape.numbers)] if ties else []
    order = ", ".join([*(f"{key} NULLS FIRST" for key in shape.keys), *last]) or "1"
    # Only what decides the order is sorted; the rows stay where they are.
    ranks = f'SELECT rowid AS id, row_number() OVER (ORDER BY {order}) AS "row" FROM differing'
    return f'SELECT r."row", d.* FROM differing d JOIN ({ranks}) r ON d.rowid = r.id'


def select_renames(shape: Shape, pairs: Sequence[tuple[str, str]], *, most: int) -> str:
    """Select, for each (dropped, added) pair of columns, in how many of the first matched rows either side has a value.

    And in how many of those both have the same, and how many different values these are: three numbers for each pair.
    """
    columns = []
    for old, new in pairs:
        b, c = f"b.{quote(old)}", f"c.{quote(new)}"
        columns += [
            f"count(*) FILTER ({b} IS NOT NULL OR {c} IS NOT NULL)",
            f"count(*) FILTER ({b} = {c})",
            f"count(DISTINCT {b}) FILTER ({b} = {c})",
        ]

    def rows(end: End, names: Iterable[str]) -> str:
        selected = ", ".join([*_named_keys(shape, end), *(quote(name) for name in dict.fromkeys(names))])
        return f"SELECT {selected} FROM {shape.relation(end)}"

    base, candidate = rows("base", (old for old, _ in pairs)), rows("candidate", (new for _, new in pairs))
    same = _same(shape.keys, "b", "c")
    return f"SELECT {', '.join(columns)} FROM ({base}) b JOIN ({candidate} LIMIT {most}) c ON {same}"


def _select_joined(shape: Shape, within: Condition, *, repeated: bool) -> str:
    kind = "CASE WHEN c.here IS NULL THEN 'removed' WHEN b.here IS NULL THEN 'added' ELSE 'changed' END"
    columns = [
        f"{kind} AS kind",
        *(
            f"{store(f'coalesce(b.{key}, c.{key})', column.compared_type)} AS {key}"
            for key, column in zip(shape.keys, shape.key, strict=True)
        ),
        *(
            f"{store(f'{side}.v{n}', _type_of(column, side))} AS {side}{n}"
            for side in "bc"
            for n, column in enumerate(shape.values)
        ),
    ]
    cells = [column.differs(f"b.v{n}", f"c.v{n}", shape.tolerance) for n, column in enumerate(shape.values)]
    lone = "b.here IS NULL OR c.here IS NULL"
    marks = [f"({lone} OR {cell}) AS d{n}" for n, cell in enumerate(cells)]
    return (
        f"SELECT {', '.join([*columns, *marks])} FROM ({_select_side(shape, 'base', within, repeated)}) b "
        f"FULL JOIN ({_select_side(shape, 'candidate', within, repeated)}) c ON {_same_key(shape, 'b', 'c')} "
        f"WHERE {' OR '.join([lone, *cells])}"
    )


def _select_side(shape: Shape, end: End, within: Condition, repeated: bool) -> str:
    columns = ", ".join(["true AS here", *_named_keys(shape, end), *_named_values(shape, end)])
    rows = f"SELECT {columns} FROM {shape.relation(end)} WHERE {within}"
    return f"SELECT x.* FROM ({rows}) x ANTI JOIN repeated t ON {_same(shape.keys, 'x', 't')}" if repeated else rows


def _select_whole(shape: Shape, end: End, one: int) -> str:
    """Select the rows of a side that are compared as a whole: the key, what is compared, and what that was made of."""
    values = []
    for n, (column, name) in enumerate(zip(shape.values, _names(shape, end), strict=True)):
        value = column.base_value(name) if end == "base" else column.candidate_value(name)
        if column.has_own_parts:
            values.append(f"{name} AS v{n}")
            value = f"CAST({value} AS VARCHAR)" if "INTERVAL" in column.compared_type else value
        values.append(f"{value} AS w{n}")
    columns = ", ".join(["true AS here", *_named_keys(shape, end), *values, f"{one} AS one"])
    rows = f"SELECT {columns} FROM {shape.relation(end)}"
    return f"SELECT x.* FROM ({rows}) x SEMI JOIN repeated t ON {_same(shape.keys, 'x', 't')}" if shape.key else rows


def _names(shape: Shape, end: End) -> list[str]:
    return [quote(column.base if end == "base" else column.name) for column in shape.values]


def _named_values(shape: Shape, end: End) -> list[str]:
    return [f"{name} AS v{n}" for n, name in enumerate(_names(shape, end))]


def find_keys(shape: Shape, end: End) -> list[str]:
    """Return the expressions of a side's key as it is compared."""
    if end == "base":
        return [column.base_value(quote(column.base)) for column in shape.key]
    return [column.candidate_value(quote(column.name)) for column in shape.key]


def _named_keys(shape: Shape, end: End) -> list[str]:
    return [f"{key} AS k{n}" for n, key in enumerate(find_keys(shape, end))]


def _type_of(column: Column, side: str) -> str:
    return column.base_type if side == "b" else column.candidate_type


def _same_key(shape: Shape, left: str, right: str) -> str:
    if shape.has_null_keys or not shape.key:
        return _same(shape.keys, left, right) or "true"
    return " AND ".join(f"{left}.{key} = {right}.{key}" for key in shape.keys)


def _same(names: Sequence[str], left: str, right: str) -> str:
    return " AND ".join(f"{left}.{name} IS NOT DISTINCT FROM {right}.{name}" for name in names)
