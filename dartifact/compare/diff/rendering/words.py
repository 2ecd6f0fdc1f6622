"""What every format says of a report: its verdict, key, counts, notes, changes of the schema, columns and values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from dartifact.compare.diff.rendering.lines import make_printable, shorten, shorten_pair
from dartifact.compare.diff.report import ColumnDiff, DiffReport, Example, LoneTables

_ROUNDED_NAME = 40
MOST_COLUMNS = 20
"""How many columns a list of columns names before it says how many more there are."""


@dataclass(frozen=True, slots=True)
class Listed:
    """The first of some names or texts, and how many more there are."""

    label: str
    shown: tuple[str, ...]
    more: int = 0


def tell_verdict(report: DiffReport) -> Literal["same", "different"]:
    """Return the answer in one word."""
    return "same" if report.same else "different"


def tell_verdicts(reports: Sequence[DiffReport]) -> str:
    """Return how many tables there are, and how many of them differ."""
    different = sum(not report.same for report in reports)
    return f"{len(reports):,} tables: {different:,} different, {len(reports) - different:,} same"


def sort_by_changes(reports: Sequence[DiffReport]) -> list[DiffReport]:
    """Return reports with the most differing rows first; where none differ, another schema before the same one."""
    return sorted(reports, key=lambda report: (-count_differing(report), report.same))


def count_differing(report: DiffReport) -> int:
    """Count the rows that were added, removed or changed."""
    return report.rows.added + report.rows.removed + report.rows.changed


def list_key(report: DiffReport) -> Listed:
    """Name the key columns."""
    return _cut("key", report.key)


def tell_key_origin(report: DiffReport) -> str:
    """Return what is to be said of the key beside its columns; nothing of one that was given."""
    match report.key_origin:
        case "suggested":
            return "chosen because it is unique on both sides; override it with --key"
        case "none":
            return "none: rows are compared as a whole, equal ones cancel out"
        case _:
            return ""


def tell_unchanged(report: DiffReport) -> str:
    """Return how many rows are unchanged, and in what: only in columns of both sides can they be."""
    count = f"{report.rows.unchanged:,} unchanged"
    return f"{count} {about}" if (about := tell_compared(report)) else count


def tell_compared(report: DiffReport) -> str:
    """Return what `unchanged` is said of, where that is not all columns of both sides."""
    if report.key and not report.columns:
        return "(only keys were compared)"
    if report.schema.added or report.schema.removed:
        return "in the columns that both sides have"
    return ""


def list_notes(report: DiffReport) -> list[str]:
    """Return what is to be said of how the rows were compared."""
    rows, notes = report.rows, []
    if report.scope == "touched":
        notes.append("only keys in objects that differ were read and counted; all others are the same")
    if rows.duplicate_keys_base or rows.duplicate_keys_candidate:
        counts = f"{rows.duplicate_keys_base:,} in the base, {rows.duplicate_keys_candidate:,} in the candidate"
        notes.append(f"repeated keys: {counts}; their rows are compared as a whole")
    if rows.null_keys_base or rows.null_keys_candidate:
        counts = f"{rows.null_keys_base:,} in the base, {rows.null_keys_candidate:,} in the candidate"
        notes.append(f"rows without a whole key: {counts}; null is paired with null")
    if report.rounded:
        names = ", ".join(show_name(name, _ROUNDED_NAME) for name in report.rounded[:MOST_COLUMNS])
        notes.append(f"read with fewer digits than the files hold, so compared in microseconds or as doubles: {names}")
    if three := report.three_way:
        notes.append(
            f"since the run branched: {three.run:,} keys changed by it alone, {three.main:,} in main alone, "
            f"{three.both:,} by both"
        )
    return notes


def list_lone(lone: LoneTables) -> list[Listed]:
    """Return the tables that one side has alone."""
    kinds = (("tables added", lone.added), ("tables removed", lone.removed))
    return [_cut(label, names) for label, names in kinds if names]


def list_conflicts(report: DiffReport) -> Listed | None:
    """Return examples of the keys that the run and `main` have both changed."""
    if report.three_way and report.three_way.both_examples:
        return _cut("changed by both, e.g.", report.three_way.both_examples)
    return None


def list_schema_changes(report: DiffReport) -> list[Listed]:
    """Return what differs between the columns of both sides, by kind of change."""
    schema = report.schema
    renamed = [
        f"{column.base} → {column.candidate}"
        + ("" if column.share == 1 else f" ({column.share:.2%} of the values are the same)")
        for column in schema.renamed
    ]
    retyped = [f"{column.name}: {column.base} → {column.candidate}" for column in schema.retyped]
    lists = (
        ("renamed", renamed),
        ("retyped", retyped),
        ("added", schema.added),
        ("removed", schema.removed),
        ("in another order", schema.reordered),
    )
    return [_cut(label, texts) for label, texts in lists if texts]


def pick_changed(report: DiffReport, most: int = MOST_COLUMNS) -> tuple[list[ColumnDiff], int]:
    """Return the columns with the most changed cells, the most first, and how many more have changed."""
    changed = sorted((column for column in report.columns if column.changed), key=lambda column: -column.changed)
    return changed[:most], max(0, len(changed) - most)


def tell_column(column: ColumnDiff) -> str:
    """Return what changed in a column."""
    return ", ".join([f"{column.changed:,} changed ({tell_share(column.share)})", *list_figures(column)])


def tell_share(share: float) -> str:
    """Return a share in percent; neither 0 nor 100 where it is only near."""
    if 0 < share < 0.0001:
        return "<0.01%"
    return ">99.99%" if 0.9999 < share < 1 else f"{share:.2%}"


def list_figures(column: ColumnDiff) -> list[str]:
    """Return how the changed cells of a column moved: to and from null, means and extremes of numbers."""
    parts = []
    if column.null_to_value:
        parts.append(f"{column.null_to_value:,} from null")
    if column.value_to_null:
        parts.append(f"{column.value_to_null:,} to null")
    if shift := column.shift:
        parts.append(f"mean {shift.base_mean:,.6g} → {shift.candidate_mean:,.6g}")
        parts.append(f"changes from {shift.least_change:+,.6g} to {shift.greatest_change:+,.6g}")
    return parts


def tell_example(example: Example, most: int) -> str:
    """Return a changed cell on one line, its key and both values of at most `most` columns each."""
    base, candidate = show_pair(example.base, example.candidate, most)
    return f"{show_name(str(example.key), most)}: {base} → {candidate}"


def show_pair(base: str | None, candidate: str | None, most: int) -> tuple[str, str]:
    """Return the two values of a cell on one line, cut so that they are seen to differ."""
    return shorten_pair(_spell(base), _spell(candidate), most)


def show_value(value: str | None, most: int) -> str:
    """Return a value on one line; null is `null`, and a text that could be mistaken stands in quotes."""
    return shorten(_spell(value), most)


def show_name(name: str, most: int) -> str:
    """Return a name on one line."""
    return shorten(make_printable(name), most)


def _spell(value: str | None) -> str:
    if value is None:
        return "null"
    text = make_printable(value)
    return f"'{text}'" if value != value.strip() or not value or value == "null" else text


def _cut(label: str, texts: Sequence[str]) -> Listed:
    return Listed(label, tuple(texts[:MOST_COLUMNS]), max(0, len(texts) - MOST_COLUMNS))
