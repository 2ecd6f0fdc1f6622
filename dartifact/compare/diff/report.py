"""The answer of a diff as a value: counts, columns, schema; read back from its own JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class RowCounts:
    """Rows of both sides and what became of them.

    base = removed + changed + unchanged, candidate = added + changed + unchanged. `duplicate_keys_*` counts the key
    values that stand more than once on that side; their rows are compared as
    multisets. `null_keys_*` counts the rows that lack a part of their key; null is paired with null.
    """

    base: int
    candidate: int
    added: int
    removed: int
    changed: int
    unchanged: int
    duplicate_keys_base: int = 0
    duplicate_keys_candidate: int = 0
    null_keys_base: int = 0
    null_keys_candidate: int = 0


@dataclass(frozen=True, slots=True)
class Example:
    """One changed cell as text; None is null."""

    key: str
    base: str | None
    candidate: str | None


@dataclass(frozen=True, slots=True)
class Shift:
    """How the changed cells of a numeric column moved, over cells that hold a finite number on both sides."""

    base_mean: float
    candidate_mean: float
    mean_change: float
    least_change: float
    greatest_change: float


@dataclass(frozen=True, slots=True)
class ColumnDiff:
    """One compared column; `share` is of the rows that stand on both sides."""

    name: str
    changed: int
    share: float
    null_to_value: int
    value_to_null: int
    shift: Shift | None
    examples: tuple[Example, ...]


@dataclass(frozen=True, slots=True)
class Retyped:
    """A column of another type on the candidate's side."""

    name: str
    base: str
    candidate: str


@dataclass(frozen=True, slots=True)
class Renamed:
    """A column of the base that has another name in the candidate; `share` of its values on matched keys are equal."""

    base: str
    candidate: str
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class SchemaDiff:
    """What differs between the two lists of columns; `reordered` names the shared ones that lost their order."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    retyped: tuple[Retyped, ...] = ()
    reordered: tuple[str, ...] = ()
    renamed: tuple[Renamed, ...] = ()

    @property
    def same(self) -> bool:
        """Tell whether both sides have the same columns of the same types, in any order."""
        return not (self.added or self.removed or self.retyped or self.renamed)


@dataclass(frozen=True, slots=True)
class ThreeWay:
    """Keys whose current row was changed by the run alone, in `main` alone since the run branched, or by both."""

    run: int
    main: int
    both: int
    both_examples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LoneTables:
    """The names of the tables that only the candidate has, and of those that only the base has."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Tell whether there are any: a difference."""
        return bool(self.added or self.removed)


NO_TABLES = LoneTables()


@dataclass(frozen=True, slots=True)
class DiffReport:
    """One diff. `key_origin` is given, suggested or none (rows compared as multisets).

    `scope` is `all`, or `touched`: only the keys in objects that differ were read and counted, all others are the same.
    `rounded` are columns that are read with fewer digits than a file holds.
    """

    table: str
    base: str
    candidate: str
    key: tuple[str, ...]
    key_origin: str
    scope: str
    rows: RowCounts
    columns: tuple[ColumnDiff, ...]
    schema: SchemaDiff
    options: Mapping[str, Any]
    three_way: ThreeWay | None = None
    rounded: tuple[str, ...] = ()

    @property
    def same(self) -> bool:
        """Tell whether there is no difference; the order of rows and columns is none."""
        return self.schema.same and not (self.rows.added or self.rows.removed or self.rows.changed)

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain JSON values."""
        return {"schema_version": SCHEMA_VERSION, "same": self.same, **asdict(self)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> DiffReport:
        """Read a report back; KeyError, TypeError or ValueError for anything else."""
        if document["schema_version"] != SCHEMA_VERSION:
            raise ValueError(f"schema version {document['schema_version']} is not {SCHEMA_VERSION}")
        names = ("table", "base", "candidate", "key_origin", "scope", "options")
        schema, three = document["schema"], document["three_way"]
        return cls(
            **{name: document[name] for name in names},
            key=tuple(document["key"]),
            rows=RowCounts(**document["rows"]),
            columns=tuple(_read_column(column) for column in document["columns"]),
            schema=SchemaDiff(
                tuple(schema["added"]),
                tuple(schema["removed"]),
                tuple(Retyped(**column) for column in schema["retyped"]),
                tuple(schema["reordered"]),
                tuple(Renamed(**column) for column in schema["renamed"]),
            ),
            rounded=tuple(document["rounded"]),
            three_way=ThreeWay(**{**three, "both_examples": tuple(three["both_examples"])}) if three else None,
        )


def _read_column(document: Mapping[str, Any]) -> ColumnDiff:
    shift, examples = document["shift"], document["examples"]
    return ColumnDiff(
        **{
            **document,
            "shift": Shift(**shift) if shift else None,
            "examples": tuple(Example(**example) for example in examples),
        }
    )
