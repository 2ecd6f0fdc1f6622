"""How a batch is mutated, as SQL: what faults and harmless variations are made of. Pure text over two relations.

A fault is put into a share of the rows, its dose; one that has no dose changes all of the batch. Columns are chosen by
a seed among those that a fault fits; the same seed spoils the same rows of the same column, and a smaller dose some of
them.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from dartifact.domain.profiles import Kind, Profile
from dartifact.domain.sql_text import quote

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

    def of_any_kind(self) -> list[str]:
        """Name the columns that are neither key nor reference and have values, by kind."""
        return [name for kind in Kind for name in self.of_kind(kind)]

    def values(self, column: str) -> list[str]:
        """Name the categories of a column, the most frequent first."""
        counts = self.profile.columns[column].values
        return sorted((value for value in counts if counts[value]), key=lambda value: (-counts[value], value))

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
    make: Callable[[Work], Mutated | None]
    graded: bool = True

    def apply(self, table: Table, dose: Dose) -> Mutated | None:
        """Return the mutated batch, None where it fits no column."""
        dice = random.Random(f"{dose.seed} {self.name}")  # noqa: S311  (the same seed has to spoil the same rows)
        return self.make(Work(table, dose, dice))


@dataclass(frozen=True, slots=True)
class Work:
    """What a mutation works with: the batch, the dose, and dice thrown by the seed."""

    table: Table
    dose: Dose
    dice: random.Random

    def choose(self, columns: Sequence[str]) -> str | None:
        """Return one of the columns by the dice, None where there is none."""
        return self.dice.choice(sorted(columns)) if columns else None

    def fractions(self) -> list[str]:
        """Name the numbers that may have decimals and are no handful of prices."""
        profile = self.table.profile
        found = [name for name in self.table.of_kind(Kind.NUMBER) if "INT" not in self.table.columns[name].upper()]
        return [name for name in found if profile.columns[name].distinct > _HANDFUL]

    def categories(self) -> list[str]:
        """Name the texts of known categories that have at least two of them."""
        return [name for name in self.table.of_kind(Kind.TEXT, categories=True) if len(self.table.values(name)) > 1]

    def beyond(self, column: str, factor: float) -> str:
        """Return a number that is so many times the greatest of a column, at least the factor itself."""
        return str(round(max(abs(self.table.profile.columns[column].measures["max"]), 1.0) * factor))

    def hits(self, share: float | None = None) -> str:
        """Return the condition of the rows that are hit: the dose's share of them, or another one."""
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
        """Select the batch with expressions in place of its columns, or some of its rows; `columns` were changed."""
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
