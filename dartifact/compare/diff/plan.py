"""What a table diff will compare, decided before it does: columns, key and schema of two relations, as one value."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from itertools import combinations
from typing import Any

import duckdb

from dartifact.compare.diff.columns import Column, Tolerance, can_be_key, compare_schema, is_time, match_columns
from dartifact.compare.diff.report import SchemaDiff
from dartifact.compare.diff.sql import Shape, find_keys, select_renames
from dartifact.domain.errors import UsageError
from dartifact.domain.sql_text import literal, quote
from dartifact.domain.texts import first_line

_IDENTIFIER = re.compile(r"^(id|uuid|guid|key)$", re.IGNORECASE)
_PART_OF_ONE = re.compile(r"([_ -](id|uuid|guid|key)|[a-z]I[dD])$|^[a-z]*_?(uuid|guid)$", re.IGNORECASE)
_CODE = re.compile(r"(code|number|sku|isbn|iban|slug|email|reference|[_ -](no|nr))$", re.IGNORECASE)
_MEASURE = re.compile(r"^(lon|lat|lng|longitude|latitude|x|y)$|amount|price|total|score|value|rate", re.IGNORECASE)
_KEY_SAMPLE = 10_000
_MOST_KEY_TRIES = 8
_MOST_PARTS = 6
_MOST_RENAMES = 2_000
_RENAME_SAMPLE = 2_000
_RENAMED_SHARE = 0.9
_ALIKE = 0.6
_SHARES = 1_000_000


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a diff: a relation of the connection and the name people know it by.

    `files` are the Parquet files behind it where it is nothing but them; `untyped`: its values are texts as written.
    """

    relation: str
    label: str
    files: tuple[str, ...] = ()
    untyped: bool = False


@dataclass(frozen=True, slots=True)
class Options:
    """How to compare. No key: one is suggested, and where there is none rows are compared as multisets.

    `rename` is the base's name → the candidate's; columns that were renamed besides are found. `where` is a condition
    that rows of both sides have to meet; `sample` is the share of the keys that is compared, the same on both sides.
    """

    key: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    tolerance: Tolerance | None = None
    rename: tuple[tuple[str, str], ...] = ()
    where: str = ""
    sample: float | None = None


@dataclass(frozen=True, slots=True)
class DiffPlan:
    """What is compared: two sides, the key their rows are paired by, and what their schemas have in common.

    Without a key rows are compared as multisets. `rounded` are compared columns that are read with fewer
    digits than a file holds. `are_whole_files`: both sides are all rows of their files.
    """

    base: Side
    candidate: Side
    key: tuple[str, ...]
    shape: Shape
    schema: SchemaDiff
    rounded: tuple[str, ...] = ()
    are_whole_files: bool = False

    @property
    def is_one_table(self) -> bool:
        """Tell whether both sides are the same rows of the same files: nothing can differ, so nothing is compared."""
        return bool(self.key and self.base.files) and self.base.files == self.candidate.files


def plan_diff(connection: duckdb.DuckDBPyConnection, base: Side, candidate: Side, options: Options) -> DiffPlan:
    """Read the columns of both sides, choose the key and find renamed columns; asks only for what is not given.

    UsageError: a key, an ignored or renamed column does not exist, or the condition does not fit. duckdb.Error: a side
    cannot be read.
    """
    base, candidate = (_filter_by(connection, side, options.where) for side in (base, candidate))
    columns = [_describe(connection, side) for side in (base, candidate)]
    known = {name for side in columns for name, _ in side}
    if unknown := [name for name in options.ignore if name not in known]:
        raise UsageError(f"neither side has a column {', '.join(unknown)}", hint=_list(sorted(known)))
    mine, theirs = ([column for column in side if column[0] not in options.ignore] for side in columns)
    untyped = base.untyped or candidate.untyped
    renamed = _read_renames(options.rename, dict(mine), dict(theirs))
    matched = match_columns(mine, theirs, untyped=untyped, renamed=renamed)
    key = _read_key(options.key, matched) or suggest_key(connection, (base, candidate), matched)
    shape = _shape(base, candidate, key, matched, options)
    if options.sample is not None:
        base, candidate = (_sample(connection, side, shape, options.sample) for side in (base, candidate))
        shape = _shape(base, candidate, key, matched, options)
    schema = compare_schema(mine, theirs, untyped=untyped, renamed=renamed)
    if key and (found := find_renames(connection, shape, schema, dict(mine), dict(theirs))):
        renamed |= found
        shape = _shape(base, candidate, key, match_columns(mine, theirs, untyped=untyped, renamed=renamed), options)
        schema = compare_schema(mine, theirs, untyped=untyped, renamed=renamed)
    compared = {column.name for column in (*shape.key, *shape.values)}
    rounded = {name for side in (base, candidate) for name in _find_rounded(connection, side)}
    whole = bool(base.files and candidate.files) and not options.where and options.sample is None
    return DiffPlan(base, candidate, key, shape, schema, tuple(sorted(compared & rounded)), whole)


def _find_rounded(connection: duckdb.DuckDBPyConnection, side: Side) -> list[str]:
    """Name the columns that DuckDB rounds: nanoseconds with a zone or of a time of day, decimals of over 38 digits."""
    if not side.files:
        return []
    files = ", ".join(map(literal, side.files))
    zoned = "logical_type LIKE '%NanoSeconds%' AND logical_type NOT LIKE 'TimestampType(isAdjustedToUTC=0%'"
    rounded = f"precision > 38 OR ({zoned})"
    found = connection.execute(f"SELECT DISTINCT name FROM parquet_schema([{files}]) WHERE {rounded}").fetchall()
    return [row[0] for row in found]


def _shape(base: Side, candidate: Side, key: tuple[str, ...], matched: Sequence[Column], options: Options) -> Shape:
    by_name = {column.name: column for column in matched}
    return Shape(
        base.relation,
        candidate.relation,
        tuple(by_name[name] for name in key),
        tuple(column for column in matched if column.name not in key),
        options.tolerance,
    )


def _read_renames(given: Sequence[tuple[str, str]], mine: dict[str, str], theirs: dict[str, str]) -> dict[str, str]:
    for old, new in given:
        if old not in mine or new not in theirs:
            side, name, there = ("base", old, mine) if old not in mine else ("candidate", new, theirs)
            raise UsageError(f"the {side} has no column {name}", hint=_list(list(there)))
        if old in theirs or new in mine:
            raise UsageError(f"{old} and {new} are not one column: {old if old in theirs else new} is on both sides")
    renamed = dict(given)
    if len({*renamed.values()}) < len(given) or len(renamed) < len(given):
        raise UsageError("a column is renamed twice", hint="--rename OLD=NEW, once for each column")
    return renamed


def _read_key(given: Sequence[str], matched: Sequence[Column]) -> tuple[str, ...]:
    """Return the key by the candidate's names; a renamed column may be named by either."""
    names = {column.base: column.name for column in matched} | {column.name: column.name for column in matched}
    if missing := [name for name in given if name not in names]:
        raise UsageError(
            f"the key {', '.join(missing)} is not a column of both sides", hint=_list([each.name for each in matched])
        )
    return tuple(dict.fromkeys(names[name] for name in given))


def _filter_by(connection: duckdb.DuckDBPyConnection, side: Side, where: str) -> Side:
    """Return a side with the rows only that meet a condition; its files say as much of their order as before."""
    if not where:
        return side
    try:
        connection.execute(
            f"CREATE OR REPLACE TEMP VIEW {side.relation}_chosen AS SELECT * FROM {side.relation} WHERE ({where})"
        )
        connection.execute(f"SELECT 1 FROM {side.relation}_chosen LIMIT 0")
    except duckdb.Error as error:
        raise UsageError(f"the condition does not fit the {side.relation}: {first_line(error)}") from error
    return replace(side, relation=f"{side.relation}_chosen")


def _sample(connection: duckdb.DuckDBPyConnection, side: Side, shape: Shape, share: float) -> Side:
    """Return a side with a share of its keys, the same ones as the other side's."""
    if not shape.key:
        raise UsageError("without a key there is no sample that both sides share", hint="name one with --key")
    texts = ", ".join(
        f"CAST({key} AS VARCHAR)" for key in find_keys(shape, "base" if side.relation == shape.base else "candidate")
    )
    most = int(share * _SHARES)
    connection.execute(
        f"CREATE OR REPLACE TEMP VIEW {side.relation}_sample AS "
        f"SELECT * FROM {side.relation} WHERE hash({texts}) % {_SHARES} < {most}"
    )
    return replace(side, relation=f"{side.relation}_sample")


def find_renames(
    connection: duckdb.DuckDBPyConnection,
    shape: Shape,
    schema: SchemaDiff,
    mine: dict[str, str],
    theirs: dict[str, str],
) -> dict[str, str]:
    """Return the columns whose values, in a sample of the matched rows, stand in one of another name: old → new.

    Nine in ten values have to be the same, and more than one of them, unless the names are alike.
    """
    pairs = [(old, new) for old in schema.removed for new in schema.added if mine[old] == theirs[new]]
    if not pairs:
        return {}
    answers = fetch_one(connection, select_renames(shape, pairs[:_MOST_RENAMES], most=_RENAME_SAMPLE))
    places = [{name: place for place, name in enumerate(side)} for side in (mine, theirs)]
    likely = []
    for (old, new), filled, same, distinct in zip(pairs, answers[::3], answers[1::3], answers[2::3], strict=False):
        alike = SequenceMatcher(None, old.lower(), new.lower()).ratio()
        if filled and same >= _RENAMED_SHARE * filled and (distinct > 1 or alike >= _ALIKE):
            likely.append((-same / filled, -alike, abs(places[0][old] - places[1][new]), old, new))
    found: dict[str, str] = {}
    for *_, old, new in sorted(likely):
        if old not in found and new not in found.values():
            found[old] = new
    return found


def suggest_key(
    connection: duckdb.DuckDBPyConnection, sides: Sequence[Side], matched: Sequence[Column]
) -> tuple[str, ...]:
    """Return the fewest columns, named like ids at best, that together are unique on both sides.

    Of one column a single null may stand beside its values; parts of a longer key are never null.
    """
    fits = [column for column in matched if column.is_same and can_be_key(column.compared_type)]
    names = sorted((column.name for column in fits), key=_likeness)
    if found := _find_key(connection, sides, [(name,) for name in names]):
        return found
    # Times are unique by accident; with one more column they would be so more often.
    parts = [column.name for column in fits if not is_time(column.compared_type)]
    parts = sorted(parts, key=_likeness)[:_MOST_PARTS]
    return _find_key(connection, sides, [*combinations(parts, 2), *combinations(parts, 3)])


def fetch_one(connection: duckdb.DuckDBPyConnection, query: str) -> tuple[Any, ...]:
    """Return the first row of a query, the empty tuple without one."""
    row = connection.execute(query).fetchone()
    return row if row is not None else ()


def _find_key(
    connection: duckdb.DuckDBPyConnection, sides: Sequence[Side], keys: Sequence[tuple[str, ...]]
) -> tuple[str, ...]:
    """Return the first of the keys that is one: those that a sample does not refute are tried on all rows."""
    answers = _are_keys(connection, sides, keys, _KEY_SAMPLE)
    likely = [key for key, is_key in zip(keys, answers, strict=True) if is_key]
    return next((key for key in likely[:_MOST_KEY_TRIES] if _are_keys(connection, sides, [key], None)[0]), ())


def _are_keys(
    connection: duckdb.DuckDBPyConnection, sides: Sequence[Side], keys: Sequence[tuple[str, ...]], most: int | None
) -> list[bool]:
    if not keys:
        return []
    checks = ", ".join(map(_is_key, keys))
    limit = f" LIMIT {most}" if most else ""
    answers = [fetch_one(connection, f"SELECT {checks} FROM (SELECT * FROM {side.relation}{limit})") for side in sides]
    return [all(answer) for answer in zip(*answers, strict=True)]


def _describe(connection: duckdb.DuckDBPyConnection, side: Side) -> list[tuple[str, str]]:
    found = connection.execute(f"DESCRIBE {side.relation}").fetchall()
    return [(row[0], row[1]) for row in found]


def _likeness(name: str) -> int:
    """Rank a name: an identifier, a part of one, a code, anything else, a measure."""
    ranks = (_IDENTIFIER, _PART_OF_ONE, _CODE)
    found = (rank for rank, pattern in enumerate(ranks) if pattern.search(name))
    return next(found, len(ranks) + bool(_MEASURE.search(name)))


def _is_key(columns: tuple[str, ...]) -> str:
    """Return the condition that columns are unique: of one column a single null may stand beside its values."""
    names = [quote(name) for name in columns]
    if len(names) == 1:
        return f"count(DISTINCT {names[0]}) = count({names[0]}) AND count(*) - count({names[0]}) <= 1"
    nulls = "".join(f" AND count({name}) = count(*)" for name in names)
    return f"count(DISTINCT row({', '.join(names)})) = count(*){nulls}"


def _list(names: Sequence[str]) -> str:
    return f"there are {', '.join(names)}" if names else ""
