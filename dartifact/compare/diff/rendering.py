"""A diff report as text for a terminal and as Markdown for a review."""

from __future__ import annotations

from dartifact.compare.diff.report import ColumnDiff, DiffReport, Example

_CHANGED_SHOWN = 20


def tell_diff(report: DiffReport) -> str:
    """Return the report as text."""
    rows = report.rows
    lines = [
        f"{report.table + ': ' if report.table else ''}{report.base} → {report.candidate}: "
        + ("same" if report.same else "different"),
        f"  key        {_tell_key(report)}",
        f"  rows       {rows.base:,} → {rows.candidate:,}: {rows.added:,} added, {rows.removed:,} removed, "
        f"{rows.changed:,} changed, {rows.unchanged:,} unchanged",
        *(f"             {line}" for line in _notes(report)),
        *(f"  schema     {line}" for line in _schema_lines(report)),
    ]
    changed = [column for column in report.columns if column.changed]
    for column in sorted(changed, key=_most_changed_first)[:_CHANGED_SHOWN]:
        lines.append(f"  {column.name}: {_tell_column(column)}")
        lines += [f"    {_show_example(example)}" for example in column.examples]
    if len(changed) > _CHANGED_SHOWN:
        lines.append(f"  and {len(changed) - _CHANGED_SHOWN} more columns")
    return "\n".join(lines)


def write_markdown(report: DiffReport) -> str:
    """Return the report as Markdown."""
    rows = report.rows
    lines = [
        f"### {_escape(report.table or 'diff')}: {'same' if report.same else 'different'}",
        "",
        f"`{report.base}` → `{report.candidate}`, key: {_escape(_tell_key(report))}",
        "",
        "| rows | base | candidate | added | removed | changed | unchanged |",
        "|---|---:|---:|---:|---:|---:|---:|",
        f"|  | {rows.base:,} | {rows.candidate:,} | {rows.added:,} | {rows.removed:,} | {rows.changed:,} "
        f"| {rows.unchanged:,} |",
        *(f"\n{_escape(line)}" for line in (*_notes(report), *_schema_lines(report))),
    ]
    changed = [column for column in report.columns if column.changed]
    if changed:
        lines += ["", "| column | changed | share | example |", "|---|---:|---:|---|"]
        for column in sorted(changed, key=_most_changed_first):
            shown = _escape(_show_example(column.examples[0]))
            lines.append(f"| {_escape(column.name)} | {column.changed:,} | {column.share:.2%} | {shown} |")
    return "\n".join(lines)


def _most_changed_first(column: ColumnDiff) -> int:
    return -column.changed


def _tell_key(report: DiffReport) -> str:
    key = ", ".join(report.key)
    if report.key_origin == "suggested":
        return f"{key} (chosen because it is unique and never null on both sides; override it with --key)"
    return key or "none: rows are compared as a whole, equal ones cancel out"


def _notes(report: DiffReport) -> list[str]:
    rows, three = report.rows, report.three_way
    notes = []
    if report.scope == "touched":
        notes.append("only keys in objects that differ were read and counted; all others are the same")
    if rows.duplicate_keys_base or rows.duplicate_keys_candidate:
        counts = f"{rows.duplicate_keys_base:,} in the base, {rows.duplicate_keys_candidate:,} in the candidate"
        notes.append(f"repeated keys: {counts}; their rows are compared as a whole")
    if three:
        examples = f", e.g. {', '.join(three.both_examples)}" if three.both_examples else ""
        notes.append(
            f"since the run branched: {three.run:,} keys changed by it alone, {three.main:,} in main alone, "
            f"{three.both:,} by both{examples}"
        )
    return notes


def _schema_lines(report: DiffReport) -> list[str]:
    schema = report.schema
    lists = (("added", schema.added), ("removed", schema.removed), ("in another order", schema.reordered))
    return [
        *(f"renamed: {column.base} → {column.candidate}" for column in schema.renamed),
        *(f"retyped: {column.name}: {column.base} → {column.candidate}" for column in schema.retyped),
        *(f"{word}: {', '.join(names)}" for word, names in lists if names),
    ]


def _tell_column(column: ColumnDiff) -> str:
    parts = [f"{column.changed:,} changed ({column.share:.2%})"]
    if column.null_to_value:
        parts.append(f"{column.null_to_value:,} from null")
    if column.value_to_null:
        parts.append(f"{column.value_to_null:,} to null")
    if shift := column.shift:
        parts.append(
            f"mean {shift.base_mean:,.6g} → {shift.candidate_mean:,.6g}, changes from "
            f"{shift.least_change:+,.6g} to {shift.greatest_change:+,.6g}"
        )
    return ", ".join(parts)


def _show_example(example: Example) -> str:
    return f"{example.key}: {_show(example.base)} → {_show(example.candidate)}"


def _show(value: str | None) -> str:
    if value is None:
        return "null"
    text = value if len(value) <= 60 else value[:59] + "…"
    return repr(text) if text != text.strip() or not text or text == "null" else text.replace("\n", "\\n")


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
