"""Faults and harmless variations of a batch, as SQL: what the checks are tested with. Pure text over two relations.

A fault is put into a share of the rows, its dose; one that has no dose changes all of the batch. Columns are chosen by
a seed among those that a fault fits; the same seed spoils the same rows of the same column, and a smaller dose some of
them.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from dartifact.compare.sql_text import literal, quote
from dartifact.domain.profiles import Kind, Profile

ALL = 1.0
_PARTS = 100_000
_HANDFUL = 100


@dataclass(frozen=True, slots=True)
class Table:
    """A batch to mutate: `relation` has its rows with `file_row_number`, `before` the current table without them.

    `columns` are its own columns by name, with their DuckDB types; `references` those that name rows of other datasets.
    `moves` says from which category to which a column usually goes. `end` is the end of the window, as SQL.
    """

    relation: str
    columns: Mapping[str, str]
    profile: Profile
    key: tuple[str, ...]
    updated_at: str
    end: str
    references: tuple[str, ...] = ()
    before: str | None = None
    moves: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def of_kind(self, kind: Kind, *, categories: bool | None = None) -> list[str]:
        """Name the columns of a kind, without key and references; with or without the known categories."""
        found = []
        for name in self._own():
            layout = self.profile.columns[name].layout
            if layout.kind is kind and self.profile.columns[name].rows and name != self.updated_at:
                is_category = layout.values is not None
                found += [name] if categories is None or categories is is_category else []
        return found

    def values(self, column: str) -> list[str]:
        """Name the categories of a column, the most frequent first."""
        counts = self.profile.columns[column].values
        return sorted((value for value in counts if counts[value]), key=lambda each: (-counts[each], each))

    def _own(self) -> list[str]:
        hidden = {*self.key, *self.references}
        return [name for name in self.columns if name not in hidden and name in self.profile.columns]


@dataclass(frozen=True, slots=True)
class Dose:
    """How a mutation is put in: a share of the rows, how strong, and by which seed."""

    share: float
    magnitude: float = 1.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Mutated:
    """A mutated batch as a query, and the columns that were changed."""

    query: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Mutation:
    """One named fault or variation; `graded`: it can be put into a share of the rows."""

    name: str
    words: str
    make: Callable[[_Work], Mutated | None]
    graded: bool = True

    def apply(self, table: Table, dose: Dose) -> Mutated | None:
        """Return the mutated batch, None where it fits no column."""
        return self.make(_Work(table, dose, random.Random(f"{dose.seed} {self.name}")))


@dataclass(frozen=True, slots=True)
class _Work:
    table: Table
    dose: Dose
    dice: random.Random

    def choose(self, columns: Sequence[str]) -> str | None:
        return self.dice.choice(sorted(columns)) if columns else None

    def hits(self, share: float | None = None) -> str:
        share = self.dose.share if share is None else share
        # with 0 as second value the hash spreads badly
        return f"hash(file_row_number, {self.dose.seed + 17}) % {_PARTS} < {round(share * _PARTS)}"

    def replace(self, column: str | None, expression: str, *, share: float | None = None) -> Mutated | None:
        """Replace a column in the rows that are hit; `x` in the expression is the column."""
        if column is None:
            return None
        x = quote(column)
        new = expression.replace("{x}", x)
        kind = self.table.columns[column]
        changed = f"CASE WHEN {self.hits(share)} THEN CAST({new} AS {kind}) ELSE {x} END AS {x}"
        return self.select((column,), replaced=changed)

    def select(self, columns: Sequence[str], *, replaced: str = "", where: str = "true") -> Mutated:
        star = "* EXCLUDE (file_row_number)" + (f" REPLACE ({replaced})" if replaced else "")
        return Mutated(f"SELECT {star} FROM {self.table.relation} WHERE {where}", tuple(columns))

    def copies(self, share: float, times: int, *, same: bool = False) -> Mutated:
        """Add copies of rows: with new keys where those are whole numbers, else as earlier versions, or as they are."""
        key, stamp = quote(self.table.key[0]), quote(self.table.updated_at)
        kind = self.table.columns[self.table.key[0]].upper()
        other = (
            f"{key} + 1000000000 * (1 + copy) AS {key}"
            if "INT" in kind
            else f"{stamp} - to_microseconds(1 + copy) AS {stamp}"
        )
        replaced = "" if same else f" REPLACE ({other})"
        rows = f"(FROM {self.table.relation}, range({times}) t(copy) WHERE {self.hits(share)})"
        return Mutated(
            f"SELECT * EXCLUDE (file_row_number) FROM {self.table.relation} UNION ALL BY NAME "
            f"SELECT * EXCLUDE (copy) FROM (SELECT * EXCLUDE (file_row_number){replaced} FROM {rows})",
            (),
        )


def _number(expression: str, name: str, words: str) -> Mutation:
    def make(work: _Work) -> Mutated | None:
        return work.replace(
            work.choose(work.table.of_kind(Kind.NUMBER)), expression.format(x="{x}", m=work.dose.magnitude)
        )

    return Mutation(name, words, make)


def _text(expression: str, name: str, words: str, *, categories: bool | None = None) -> Mutation:
    def make(work: _Work) -> Mutated | None:
        return work.replace(work.choose(work.table.of_kind(Kind.TEXT, categories=categories)), expression)

    return Mutation(name, words, make)


def _time(expression: str, name: str, words: str) -> Mutation:
    def make(work: _Work) -> Mutated | None:
        column = work.choose(work.table.of_kind(Kind.TIME))
        return work.replace(column, expression.format(x="{x}", m=work.dose.magnitude, end=work.table.end))

    return Mutation(name, words, make)


def _nulls(work: _Work) -> Mutated | None:
    fits = [name for kind in Kind for name in work.table.of_kind(kind)]
    usual = [name for name in fits if work.table.profile.columns[name].nulls > 0.2 * work.table.profile.rows]
    return work.replace(work.choose([name for name in fits if name not in usual]), "NULL")


def _null_keys(work: _Work) -> Mutated | None:
    return work.replace(work.table.key[0], "NULL")


def _orphans(work: _Work) -> Mutated | None:
    column = work.choose([name for name in work.table.references if name in work.table.columns])
    is_text = column is not None and work.table.columns[column].upper() == "VARCHAR"
    return work.replace(column, "regexp_replace({x}, '[0-9]', '9', 'g')" if is_text else "{x} + 1000000000")


def _ambiguous(work: _Work) -> Mutated | None:
    column = work.choose(work.table.of_kind(Kind.NUMBER))
    if column is None:
        return None
    x, kind, relation = quote(column), work.table.columns[column], work.table.relation
    other = f"CAST({x} + 1 AS {kind}) AS {x}"
    second = f"SELECT * EXCLUDE (file_row_number) REPLACE ({other}) FROM {relation} WHERE {work.hits()}"
    return Mutated(f"SELECT * EXCLUDE (file_row_number) FROM {relation} UNION ALL BY NAME {second}", (column,))


def _constant(work: _Work) -> Mutated | None:
    column = work.choose(work.table.of_kind(Kind.NUMBER))
    return work.replace(column, str(work.table.profile.columns[column].measures["q50"]) if column else "")


def _outliers(work: _Work) -> Mutated | None:
    column = work.choose(work.table.of_kind(Kind.NUMBER))
    return work.replace(column, _beyond(work, column, 30 * work.dose.magnitude) if column else "")


def _fractions(work: _Work) -> list[str]:
    """Name the numbers that may have decimals and are no handful of prices."""
    profile = work.table.profile
    found = [name for name in work.table.of_kind(Kind.NUMBER) if "INT" not in work.table.columns[name].upper()]
    return [name for name in found if profile.columns[name].distinct > _HANDFUL]


def _rounded(work: _Work) -> Mutated | None:
    return work.replace(work.choose(_fractions(work)), "round({x})")


def _beyond(work: _Work, column: str, factor: float) -> str:
    return str(round(max(abs(work.table.profile.columns[column].measures["max"]), 1.0) * factor))


def _shuffled(work: _Work) -> Mutated | None:
    column = work.choose([name for kind in Kind for name in work.table.of_kind(kind)])
    if column is None:
        return None
    x, relation = quote(column), work.table.relation
    moved = f"SELECT *, lead({x}, 7) OVER (ORDER BY hash(file_row_number)) AS moved FROM {relation}"
    value = f"CASE WHEN {work.hits()} THEN coalesce(moved, {x}) ELSE {x} END AS {x}"
    return Mutated(f"SELECT * EXCLUDE (file_row_number, moved) REPLACE ({value}) FROM ({moved})", (column,))


def _categories(work: _Work) -> list[str]:
    return [name for name in work.table.of_kind(Kind.TEXT, categories=True) if len(work.table.values(name)) > 1]


def _collapsed(work: _Work) -> Mutated | None:
    column = work.choose(_categories(work))
    return work.replace(column, literal(work.table.values(column)[0]) if column else "")


def _vanished(work: _Work) -> Mutated | None:
    column = work.choose(_categories(work))
    if column is None:
        return None
    values, x = work.table.values(column), quote(column)
    second = literal(values[1])
    return work.select((column,), replaced=f"CASE {x} WHEN {second} THEN {literal(values[0])} ELSE {x} END AS {x}")


def _rotated(work: _Work) -> Mutated | None:
    column = work.choose(_categories(work))
    if column is None:
        return None
    values = work.table.values(column)
    whens = " ".join(
        f"WHEN {literal(a)} THEN {literal(b)}" for a, b in zip(values, [*values[1:], values[0]], strict=True)
    )
    return work.replace(column, f"CASE {{x}} {whens} ELSE {{x}} END")


def _stale(work: _Work) -> Mutated | None:
    return work.replace(work.table.updated_at, f"{{x}} - INTERVAL 1 DAY * {work.dose.magnitude}")


def _from_the_future(work: _Work) -> Mutated | None:
    return work.replace(work.table.updated_at, f"{{x}} + INTERVAL 1 DAY * {work.dose.magnitude}")


def _reversed(work: _Work) -> Mutated | None:
    column = work.choose(work.table.of_kind(Kind.TIME))
    return work.replace(column, f"{quote(work.table.updated_at)} + INTERVAL 1 SECOND")


def _lost(work: _Work) -> Mutated | None:
    return work.select((), where=f"NOT ({work.hits()})")


def _multiplied(work: _Work) -> Mutated | None:
    return work.copies(work.dose.share, 9)


def _deleted(work: _Work) -> Mutated | None:
    return work.select((), replaced=f"{work.hits()} AS _deleted")


def _repeats(work: _Work) -> Mutated | None:
    return _from_before(work, f"SELECT {_own(work)} FROM {work.table.before}") if work.table.before else None


def _regressions(work: _Work) -> Mutated | None:
    column = work.choose(list(work.table.moves))
    if column is None or work.table.before is None:
        return None
    (old, new), stamp, x = work.table.moves[column], quote(work.table.updated_at), quote(column)
    late = f"(SELECT max({stamp}) FROM {work.table.relation})"
    back = f"SELECT {_own(work)} FROM {work.table.before} WHERE {x} = {literal(new)}"
    return _from_before(work, f"SELECT * REPLACE ({literal(old)} AS {x}, {late} AS {stamp}) FROM ({back})")


def _own(work: _Work) -> str:
    return ", ".join(quote(name) for name in work.table.columns)


def _from_before(work: _Work, rows: str) -> Mutated:
    """Put rows of the current table in place of some of the batch, with the system columns of the batch."""
    relation, names = work.table.relation, _own(work)
    many = f"(SELECT count(*) FROM {relation} WHERE {work.hits()})"
    system = f"SELECT * EXCLUDE (file_row_number, {names}) FROM {relation} LIMIT 1"
    return Mutated(
        f"SELECT * EXCLUDE (file_row_number) FROM {relation} WHERE NOT ({work.hits()}) UNION ALL BY NAME "
        f"SELECT * FROM ({rows} ORDER BY hash({quote(work.table.key[0])}, {work.dose.seed}) LIMIT {many}), ({system})",
        tuple(work.table.moves),
    )


def _missing(work: _Work) -> Mutated | None:
    column = work.choose([name for kind in Kind for name in work.table.of_kind(kind)])
    if column is None:
        return None
    return Mutated(f"SELECT * EXCLUDE (file_row_number, {quote(column)}) FROM {work.table.relation}", (column,))


def _unexpected(work: _Work) -> Mutated | None:
    return Mutated(f"SELECT * EXCLUDE (file_row_number), 'x' AS surprise FROM {work.table.relation}", ("surprise",))


def _retyped(work: _Work) -> Mutated | None:
    column = work.choose([*work.table.of_kind(Kind.NUMBER), *work.table.of_kind(Kind.TIME)])
    if column is None:
        return None
    x = quote(column)
    text = f"CASE WHEN {work.hits()} THEN 'unknown' ELSE CAST({x} AS VARCHAR) END AS {x}"
    return work.select((column,), replaced=text)


def _swapped(work: _Work) -> Mutated | None:
    columns = [name for kind in Kind for name in work.table.of_kind(kind)]
    types = work.table.columns
    pairs = [(a, b) for a in columns for b in columns if a < b and types[a] == types[b]]
    if not pairs:
        return None
    a, b = work.dice.choice(pairs)
    x, y, hits = quote(a), quote(b), work.hits()
    swap = f"CASE WHEN {hits} THEN {y} ELSE {x} END AS {x}, CASE WHEN {hits} THEN {x} ELSE {y} END AS {y}"
    return work.select((a, b), replaced=swap)


# Harmless


def _reordered(work: _Work) -> Mutated | None:
    order = f"hash(file_row_number, {work.dose.seed})"
    return Mutated(f"SELECT * EXCLUDE (file_row_number) FROM {work.table.relation} ORDER BY {order}", ())


def _other_columns_first(work: _Work) -> Mutated | None:
    names = ", ".join(quote(name) for name in reversed(list(work.table.columns)))
    return Mutated(f"SELECT {names}, * EXCLUDE (file_row_number, {names}) FROM {work.table.relation}", ())


_JITTER = "{x} + {spread} * 0.02 * ((hash(file_row_number) % 1000) / 500.0 - 1)"


def _fewer(work: _Work) -> Mutated | None:
    return work.select((), where=f"NOT ({work.hits(0.1)})")


def _sample(work: _Work) -> Mutated | None:
    return work.select((), where=work.hits(0.8))


def _all_numbers(expression: str) -> Callable[[_Work], Mutated | None]:
    """Change all numbers a little; `spread` is the distance of a column's quartiles."""

    def make(work: _Work) -> Mutated | None:
        columns, each = _fractions(work), []
        for name in columns:
            measures = work.table.profile.columns[name].measures
            new = expression.format(x=quote(name), spread=measures["q75"] - measures["q25"])
            each.append(f"CAST({new} AS {work.table.columns[name]}) AS {quote(name)}")
        return work.select(columns, replaced=", ".join(each)) if columns else None

    return make


def _other_categories(work: _Work) -> Mutated | None:
    column = work.choose(_categories(work))
    return work.replace(column, literal(work.table.values(column)[1]) if column else "", share=0.02)


def _seconds_later(work: _Work) -> Mutated | None:
    return work.replace(work.table.updated_at, f"least({{x}} + INTERVAL 2 SECOND, {work.table.end})", share=ALL)


def _one_great_number(work: _Work) -> Mutated | None:
    column = work.choose(work.table.of_kind(Kind.NUMBER))
    if column is None:
        return None
    x, kind = quote(column), work.table.columns[column]
    great = f"CASE WHEN file_row_number = 0 THEN CAST({_beyond(work, column, 1.5)} AS {kind}) ELSE {x} END AS {x}"
    return work.select((column,), replaced=great)


def _a_few_texts(work: _Work) -> Mutated | None:
    free = work.table.of_kind(Kind.TEXT, categories=False)
    worded = [name for name in free if work.table.profile.columns[name].measures.get("max", 0) > 10]
    return work.replace(work.choose(worded), "replace({x}, 'a', 'o')", share=0.05)


FAULTS = (
    Mutation("nulls", "a column is null", _nulls),
    Mutation("null_keys", "the key is null", _null_keys),
    Mutation("ambiguous_keys", "keys come twice, with other content and the same time", _ambiguous),
    Mutation("orphans", "rows name what is not there", _orphans),
    _number("-{x}", "negative", "the sign is lost"),
    _number("0", "zero", "a number is zero"),
    _number("{x} / 100", "in_hundredths", "a number is in cents' unit, 100 times too small"),
    _number("{x} * 10", "tenfold", "a number is ten times too large"),
    Mutation("rounded", "a number has lost its decimals", _rounded),
    _number("{x} * (1 + 0.5 * {m})", "half_more", "a number is half as large again"),
    _number("{x} / (1 + 0.19 * {m})", "net_of_tax", "a number is 16 % too small"),
    Mutation("constant_number", "a number is always the same", _constant),
    Mutation("outliers", "a number is far beyond what it ever was", _outliers),
    _text("''", "blank", "a text is empty"),
    _text("' ' || {x}", "padded", "a text has a blank before it"),
    _text("'<p>' || {x} || '</p>'", "html", "a text is HTML"),
    _text("{x} || 'Ã¼'", "mojibake", "UTF-8 was read as something else"),
    _text("CASE WHEN {x} = upper({x}) THEN lower({x}) ELSE upper({x}) END", "other_case", "a text is in other letters"),
    _text("'N/A'", "placeholder", "a text is a word for nothing"),
    _text("left({x}, length({x}) // 2)", "truncated", "a text is cut off in the middle"),
    _text("'12,50'", "decimal_comma", "a text is a number with a decimal comma"),
    _text("'X-' || {x}", "prefixed", "a text has another form", categories=False),
    _text("{x} || repeat('x', 500)", "endless", "a text is far too long", categories=False),
    _text("'teleported'", "unknown_category", "a category that was never there", categories=True),
    Mutation("one_category", "all rows are of the most frequent category", _collapsed),
    Mutation("vanished_category", "a category is there no longer", _vanished, graded=False),
    Mutation("mapped_wrongly", "each category is taken for another", _rotated),
    _time("TIMESTAMPTZ '1970-01-01 00:00:00+00'", "epoch", "a time is 1970"),
    _time("{x} + INTERVAL 1 HOUR * 2 * {m}", "zone_ahead", "a time is two hours late, as if it were of another zone"),
    _time("{x} - INTERVAL 1 HOUR * 2 * {m}", "zone_behind", "a time is two hours early"),
    _time("{end}", "same_time", "a time is always the same"),
    Mutation("stale", "rows are a day older than the window", _stale),
    Mutation("from_the_future", "rows are a day later than the window", _from_the_future),
    Mutation("order_reversed", "a time is later than the one it comes before", _reversed),
    Mutation("lost_rows", "rows are missing", _lost),
    Mutation("multiplied_rows", "rows come ten times", _multiplied),
    Mutation("deletions", "rows are deleted", _deleted),
    Mutation("repeats", "rows are what main has already", _repeats),
    Mutation("regressions", "rows go back to an earlier state", _regressions),
    Mutation("missing_column", "a column is missing", _missing, graded=False),
    Mutation("unexpected_column", "a column that nobody knows", _unexpected, graded=False),
    Mutation("retyped_column", "a column holds words where it held numbers or times", _retyped),
    Mutation("swapped_columns", "two columns have changed places", _swapped),
    Mutation("shuffled_column", "a column's values stand in other rows", _shuffled),
)
"""What the checks should stop; by name, one at a time."""

HARMLESS = tuple(
    Mutation(name, words, make, graded=False)
    for name, words, make in (
        ("rows_in_another_order", "the same rows in another order", _reordered),
        ("columns_in_another_order", "the same columns in another order", _other_columns_first),
        ("a_tenth_fewer_rows", "one row in ten is not there", _fewer),
        ("four_rows_in_five", "another sample of the same", _sample),
        ("a_tenth_more_rows", "one row in ten has a second one like it", lambda work: work.copies(0.1, 1)),
        ("rows_twice", "one row in twenty comes twice, as it is", lambda work: work.copies(0.05, 1, same=True)),
        ("numbers_jitter", "numbers differ by up to a fiftieth of their spread", _all_numbers(_JITTER)),
        ("numbers_rise", "numbers are higher by a thirtieth of their spread", _all_numbers("{x} + {spread} / 30")),
        ("categories_move", "one row in fifty is of another category", _other_categories),
        ("seconds_later", "rows are two seconds younger", _seconds_later),
        ("one_great_number", "one number is half as great again as the greatest", _one_great_number),
        ("a_few_other_texts", "one text in twenty is spelled otherwise", _a_few_texts),
    )
)  # fmt: skip
"""What the checks should let pass."""
