"""Profiles: what one batch looks like in counts that add up, and how its columns are measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from dartifact.domain.storable import read_number


class Kind(StrEnum):
    """How a column is measured. A time is measured as its age: seconds before the end of the run's window."""

    NUMBER = "number"
    TIME = "time"
    TEXT = "text"


FLAGS: Mapping[Kind, Mapping[str, str]] = {
    Kind.NUMBER: {"negative": "are negative", "zero": "are zero", "whole": "are whole numbers"},
    Kind.TIME: {"negative": "are later than the end of the window", "stale": "are older than the window"},
    Kind.TEXT: {
        "blank": "are blank",
        "padded": "have blanks around them",
        "mojibake": "look like UTF-8 that was read as something else",
        "html": "hold HTML",
        "comma": "are numbers with a decimal comma",
        "placeholder": "are words for nothing, like NULL or N/A",
        "upper": "are in capitals",
    },
}
"""What is counted in each column beside its nulls: name and what the rows do."""


@dataclass(frozen=True, slots=True)
class ColumnLayout:
    """How one column is measured; frozen from the first batch, so that counts of later ones add up.

    `edges` are the upper ends of all bins but the last. `values` are the known categories, `shapes` the known forms of
    a text (`a9` for C000123); None where there are too many to be told apart.
    """

    kind: Kind
    edges: tuple[float, ...] = ()
    values: tuple[str, ...] | None = None
    shapes: tuple[str, ...] | None = None


Layout = Mapping[str, ColumnLayout]


@dataclass(frozen=True, slots=True)
class ColumnProfile:
    """One column of one batch. `rows` have a value; `flags` count those of `FLAGS`; `bins` match the layout's edges.

    `measures` holds min, max, mean and the quantiles q01, q25, q50, q75, q99 of the number, the age in seconds or the
    length of the text. `new_values` are the most frequent values that are no category yet.
    """

    layout: ColumnLayout
    rows: int
    nulls: int
    distinct: int
    measures: Mapping[str, float] = field(default_factory=dict)
    flags: Mapping[str, int] = field(default_factory=dict)
    bins: tuple[int, ...] = ()
    values: Mapping[str, int] = field(default_factory=dict)
    new_values: Mapping[str, int] = field(default_factory=dict)
    shapes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Profile:
    """One batch: `seconds` is the length of its window, `deleted` its deletions, which are in no other number.

    `pairs` counts, for two columns of a kind in the order of their names, the rows in which the first is less and
    those in which it is greater. Of the `known` rows, whose key was in `main` before, `repeated` bring nothing new;
    `moves` counts from which category to which the others went, by column.
    """

    rows: int
    deleted: int
    seconds: float
    columns: Mapping[str, ColumnProfile]
    pairs: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    known: int = 0
    repeated: int = 0
    moves: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    @property
    def layout(self) -> Layout:
        """Return how the columns were measured."""
        return {name: column.layout for name, column in self.columns.items()}

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; `from_json` reads them back."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Profile:
        """Read what `to_json` wrote."""
        columns = {name: _read_column(column) for name, column in value["columns"].items()}
        pairs = {name: (counts[0], counts[1]) for name, counts in value["pairs"].items()}
        return cls(**{**value, "columns": columns, "pairs": pairs})


def _read_column(value: Mapping[str, Any]) -> ColumnProfile:
    given = value["layout"]
    known = {name: None if given[name] is None else tuple(given[name]) for name in ("values", "shapes")}
    layout = ColumnLayout(Kind(given["kind"]), tuple(map(read_number, given["edges"])), **known)
    measures = {name: read_number(measure) for name, measure in value["measures"].items()}
    return ColumnProfile(**{**value, "layout": layout, "measures": measures, "bins": tuple(value["bins"])})


def next_layout(history: Sequence[Profile]) -> Layout:
    """Return how the next batch is measured: as the newest one was, all categories and shapes seen since being known.

    `history` comes newest first.
    """
    layout: dict[str, ColumnLayout] = {}
    for name, column in history[0].columns.items():
        seen = [profile.columns[name] for profile in history if name in profile.columns]
        old = column.layout
        new = {value for column in seen for value in column.new_values}
        values = None if old.values is None else tuple(sorted({*old.values, *new}))
        layout[name] = ColumnLayout(old.kind, old.edges, values, old.shapes)
    return layout


def add_columns(columns: Sequence[ColumnProfile]) -> ColumnProfile:
    """Add up the counts of one column in several batches; those measured in other bins than the first are left out."""
    first = columns[0].layout
    like = [column for column in columns if (column.layout.kind, column.layout.edges) == (first.kind, first.edges)]
    lows = [column.measures["min"] for column in like if "min" in column.measures]
    highs = [column.measures["max"] for column in like if "max" in column.measures]
    middles = sorted(column.measures["q50"] for column in like if "q50" in column.measures)
    measures = {"min": min(lows), "max": max(highs), "q50": middles[len(middles) // 2]} if middles else {}
    known = _sum(column.values for column in like)
    known.update(_sum(column.new_values for column in like))
    return ColumnProfile(
        first,
        rows=sum(column.rows for column in like),
        nulls=sum(column.nulls for column in like),
        distinct=max(column.distinct for column in like),
        measures=measures,
        flags=_sum(column.flags for column in like),
        bins=tuple(map(sum, zip(*(column.bins for column in like), strict=True))),
        values=known,
        shapes=_sum(column.shapes for column in like),
    )


def add_counts(counts: Iterable[Mapping[str, int]]) -> Mapping[str, int]:
    """Add up counts by name."""
    return _sum(counts)


def _sum(counts: Iterable[Mapping[str, int]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for one in counts:
        total.update(one)
    return total
