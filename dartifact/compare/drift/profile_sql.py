"""The SQL of profiles: one fused query over a batch for all columns, pure text.

Source of the method: equal-frequency bins and categories, frozen from the first batch, as for a population stability
index; counts over fixed bins add up across batches, quantiles do not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, pairwise

from dartifact.domain.profiles import FLAGS, ColumnLayout, Kind, Layout
from dartifact.domain.sources import SYSTEM_COLUMNS
from dartifact.domain.sql_text import literal, quote

BINS = 24
MOST_VALUES = 50
MOST_SHAPES = 30
_MOST_PAIRED = 6
QUANTILES = {"q01": 0.01, "q25": 0.25, "q50": 0.5, "q75": 0.75, "q99": 0.99}
_SHAPE = r"regexp_replace(regexp_replace({}, '[0-9]+', '9', 'g'), '\p{{L}}+', 'a', 'g')"
# What UTF-8 looks like when it was read as Latin-1 or Windows-1252, and what is left of what could not be read.
_MOJIBAKE = "[ÂÃ][\\x{80}-\\x{BF}€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]|â€|\\x{FFFD}"
_TEXT_FLAGS = {
    "blank": "trim({x}) = ''",
    "padded": "{x} <> trim({x}) AND trim({x}) <> ''",
    "mojibake": f"regexp_matches({{x}}, '{_MOJIBAKE}')",
    "html": "regexp_matches({x}, '</?[a-zA-Z][^<>]*>|&(amp|lt|gt|quot|nbsp|#[0-9]+);')",
    "comma": "regexp_full_match({x}, '-?[0-9]+([.][0-9]{3})*,[0-9]+')",
    "placeholder": "lower(trim({x})) IN ('null', 'none', 'nan', 'n/a', 'na', 'nil', '#n/a', '-', '?', 'undefined')",
    "upper": "{x} = upper({x}) AND {x} <> lower({x})",
}
_SIGNED = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")
_WHOLE = frozenset({*_SIGNED, "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT"})
_NUMBER_FLAGS = {"negative": "{x} < 0", "zero": "{x} = 0", "whole": "{x} = trunc({x})"}


def kind_of(data_type: str) -> Kind | None:
    """Return how a column of a DuckDB type is measured; None: only its nulls would be."""
    name = data_type.upper()
    if name.startswith(("DECIMAL", "DOUBLE", "FLOAT")) or name in _WHOLE:
        return Kind.NUMBER
    if name.startswith("TIMESTAMP") or name == "DATE":
        return Kind.TIME
    return Kind.TEXT if name in {"VARCHAR", "BOOLEAN", "UUID"} else None


def measured(name: str, kind: Kind, hi: str) -> str:
    """Return the expression of what is measured of a column; `hi` is the SQL of the end of the window."""
    column = quote(name)
    match kind:
        case Kind.NUMBER:
            return f"CASE WHEN isfinite(CAST({column} AS DOUBLE)) THEN CAST({column} AS DOUBLE) END"
        case Kind.TIME:
            return f"CAST(epoch({hi}) - epoch(CAST({column} AS TIMESTAMPTZ)) AS DOUBLE)"
        case Kind.TEXT:
            return f"CAST({column} AS VARCHAR)"


def flag_condition(kind: Kind, flag: str, x: str, seconds: float) -> str:
    """Return the condition of a flag over the measured expression `x`; `seconds` is the length of the window."""
    if kind is Kind.TEXT:
        return _TEXT_FLAGS[flag].replace("{x}", x)
    return f"{x} >= {seconds!r}" if flag == "stale" else _NUMBER_FLAGS[flag].replace("{x}", x)


def explore(columns: Mapping[str, Kind], relation: str, hi: str) -> str:
    """Select what a first layout is made of, one row per column: name, rows, distinct, shapes, edges."""
    parts = []
    for name, kind in columns.items():
        x = measured(name, kind, hi)
        inner = f"(SELECT {x} AS x FROM {relation})"
        shapes = f"approx_count_distinct({_SHAPE.format('x')})" if kind is Kind.TEXT else "0"
        size = "length(x)" if kind is Kind.TEXT else "x"
        shares = ", ".join(str(number / BINS) for number in range(1, BINS))
        parts.append(
            f"SELECT {literal(name)}, count(x), approx_count_distinct(x), {shapes}, "
            f"quantile_cont(CAST({size} AS DOUBLE), [{shares}]) FROM {inner}"
        )
    return " UNION ALL ".join(parts)


def choose_layout(kind: Kind, rows: int, distinct: int, shapes: int, cuts: Sequence[float] | None) -> ColumnLayout:
    """Choose how a column is measured from what `explore` found; values and shapes are still to be listed where ()."""
    edges = tuple(sorted(set(cuts or ())))
    if kind is not Kind.TEXT:
        return ColumnLayout(kind, edges)
    few = distinct <= MOST_VALUES and rows >= 4 * distinct
    return ColumnLayout(kind, edges, () if few else None, () if shapes <= MOST_SHAPES and not few else None)


def list_known(name: str, layout: ColumnLayout, relation: str, hi: str) -> str:
    """Select the values, or else the shapes, of a column that a first layout knows."""
    x = measured(name, layout.kind, hi)
    found = x if layout.values is not None else _SHAPE.format(x)
    most = 2 * (MOST_VALUES if layout.values is not None else MOST_SHAPES)
    return f"SELECT DISTINCT {found} AS v FROM {relation} WHERE {x} IS NOT NULL ORDER BY v LIMIT {most}"


def profile(layout: Layout, relation: str, hi: str, seconds: float) -> str:
    """Select the whole profile of a relation in one scan: one row, read by `dartifact.compare.drift.profiling`."""
    inner = [f"{measured(name, column.kind, hi)} AS x{number}" for number, (name, column) in enumerate(layout.items())]
    outer = ["count(*) AS rows"]
    for number, column in enumerate(layout.values()):
        outer += [f"{sql} AS c{number}_{name}" for name, sql in _aggregates(column, f"x{number}", seconds)]
    columns = list(layout)
    for number, (first, second) in enumerate(pairs_of(layout)):
        a, b = f"x{columns.index(first)}", f"x{columns.index(second)}"
        # Ages run against times: the greater age is the earlier time.
        less, more = (f"{a} > {b}", f"{a} < {b}") if layout[first].kind is Kind.TIME else (f"{a} < {b}", f"{a} > {b}")
        outer += [f"count(*) FILTER ({less}) AS p{number}_less", f"count(*) FILTER ({more}) AS p{number}_more"]
    return f"SELECT {', '.join(outer)} FROM (SELECT {', '.join(inner)} FROM {relation})"


def pairs_of(layout: Layout) -> tuple[tuple[str, str], ...]:
    """Return the pairs of columns that are compared row by row: times with times, numbers with numbers."""
    found: list[tuple[str, str]] = []
    for kind in (Kind.TIME, Kind.NUMBER):
        names = sorted(name for name, column in layout.items() if column.kind is kind)
        found += combinations(names[:_MOST_PAIRED], 2)
    return tuple(found)


def find_new_values(name: str, layout: ColumnLayout, relation: str, hi: str) -> str:
    """Select the most frequent values of a column that are no known category, with their counts."""
    x = measured(name, layout.kind, hi)
    return (
        f"SELECT {x} AS v, count(*) FROM {relation} WHERE {x} NOT IN ({_listed(layout.values or ())}) "
        f"GROUP BY v ORDER BY 2 DESC, v LIMIT 20"
    )


def unknown_condition(known: Sequence[str], x: str) -> str:
    """Return the condition under which a text is none of the known ones."""
    return f"{x} IS NOT NULL AND {x} NOT IN ({_listed(known)})"


def shape_of(x: str) -> str:
    """Return the expression of a text's shape: `a9` for C000123, `a@a.a` for an address."""
    return _SHAPE.format(x)


def compare_with_known(
    columns: Sequence[str], key: Sequence[str], updated_at: str, moving: Sequence[str], relation: str, before: str
) -> str:
    """Select, of the rows whose key is in `before`: how many, how many bring nothing new, and the moves of columns."""
    on = " AND ".join(f"b.{quote(name)} = m.{quote(name)}" for name in key)
    compared = [column for column in columns if column not in (*key, updated_at, *SYSTEM_COLUMNS)]
    same = [f"b.{quote(column)} IS NOT DISTINCT FROM m.{quote(column)}" for column in compared]
    moves = [
        f"histogram(m.{quote(column)} || ' → ' || b.{quote(column)}) FILTER (m.{quote(column)} <> b.{quote(column)})"
        for column in moving
    ]
    chosen = ", ".join(["count(*)", f"count(*) FILTER ({' AND '.join(same) or 'true'})", *moves])
    return f"SELECT {chosen} FROM {relation} b JOIN {before} m ON {on}"


def _aggregates(layout: ColumnLayout, x: str, seconds: float) -> Iterator[tuple[str, str]]:
    yield "count", f"count({x})"
    yield "distinct", f"approx_count_distinct({x})"
    size = f"CAST(length({x}) AS DOUBLE)" if layout.kind is Kind.TEXT else x
    yield "min", f"min({size})"
    yield "max", f"max({size})"
    yield "mean", f"avg({size})"
    yield "quantiles", f"approx_quantile({size}, [{', '.join(map(str, QUANTILES.values()))}])"
    edges = ", ".join(repr(edge) for edge in layout.edges)
    yield "bins", f"histogram({size}, [{edges}]::DOUBLE[])" if layout.edges else "NULL"
    if layout.values is not None:
        yield "values", f"histogram(CASE WHEN {x} IN ({_listed(layout.values)}) THEN {x} END)"
    if layout.shapes is not None:
        shape = _SHAPE.format(x)
        yield "shapes", f"histogram(CASE WHEN {shape} IN ({_listed(layout.shapes)}) THEN {shape} END)"
    # Of a category each value is counted as it is.
    for flag in FLAGS[layout.kind] if layout.values is None else ():
        yield f"flag_{flag}", f"count(*) FILTER ({flag_condition(layout.kind, flag, x, seconds)})"


def _listed(values: Sequence[str]) -> str:
    return ", ".join(map(literal, values)) or "NULL"


def bins_of(found: Mapping[float, int] | None, edges: Sequence[float], rows: int) -> tuple[int, ...]:
    """Return the counts of all bins in order, the open last one included."""
    if not edges:
        return (rows,)
    counts = found or {}
    return (*(counts.get(edge, 0) for edge in edges), counts.get(float("inf"), 0))


def name_bins(edges: Sequence[float]) -> tuple[str, ...]:
    """Name all bins for people."""
    if not edges:
        return ("all",)
    middle = [f"{low:g} to {high:g}" for low, high in pairwise(edges)]
    return (f"up to {edges[0]:g}", *middle, f"over {edges[-1]:g}")
