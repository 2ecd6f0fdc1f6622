"""Reports as Markdown that fits one comment of GitHub, whatever the number of tables and columns.

Text of the data stands in code spans: in them GitHub knows no markup, no mention, no link and no reference.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from dartifact.compare.diff.rendering import words
from dartifact.compare.diff.rendering.words import Listed
from dartifact.compare.diff.report import NO_TABLES, ColumnDiff, DiffReport, LoneTables

MOST_CHARACTERS = 65_000
"""Below the 65,536 that GitHub takes, with room for a line that somebody puts around it."""
_OVERVIEW_CHARACTERS = 30_000
_NAME = 40
_SIDE = 64
_VALUE = 40
_REST = "see `--output html` or `json`"


def render_markdown(reports: Sequence[DiffReport], lone: LoneTables = NO_TABLES) -> str:
    """Return one report, or a table of all tables and the reports with the most differing rows, as far as they fit."""
    ordered = words.sort_by_changes(reports)
    parts = [_render_overview(ordered)] if len(ordered) > 1 else []
    parts += [_render_list(listed) for listed in words.list_lone(lone)]
    room = MOST_CHARACTERS - sum(map(len, parts)) - 100  # for the line that tells what is left out
    for place, report in enumerate(ordered):
        part = _render_report(report)
        room -= len(part) + 2
        if room < 0:
            left = len(ordered) - place
            return "\n\n".join([*parts, f"and {left:,} more {'tables' if left > 1 else 'table'}: {_REST}"])
        parts.append(part)
    return "\n\n".join(parts)


def _render_overview(ordered: Sequence[DiffReport]) -> str:
    lines = [
        f"**{words.tell_verdicts(ordered)}**",
        "",
        "| table | verdict | added | removed | changed | unchanged |",
        "|---|---|---:|---:|---:|---:|",
    ]
    room = _OVERVIEW_CHARACTERS
    for place, report in enumerate(ordered):
        rows = report.rows
        counts = " | ".join(f"{count:,}" for count in (rows.added, rows.removed, rows.changed, rows.unchanged))
        lines.append(f"| {_code(report.table, _NAME, cell=True)} | {words.tell_verdict(report)} | {counts} |")
        room -= len(lines[-1]) + 1
        if room < 0:
            lines[-1:] = ["", f"and {len(ordered) - place:,} more tables: {_REST}"]
            break
    return "\n".join(lines)


def _render_report(report: DiffReport) -> str:
    rows = report.rows
    lines = [
        f"### {_code(report.table, _NAME) if report.table else 'diff'}: {words.tell_verdict(report)}",
        "",
        f"{_code(report.base, _SIDE)} → {_code(report.candidate, _SIDE)}, key: {_render_key(report)}",
        "",
        "| rows | base | candidate | added | removed | changed | unchanged |",
        "|---|---:|---:|---:|---:|---:|---:|",
        f"|  | {rows.base:,} | {rows.candidate:,} | {rows.added:,} | {rows.removed:,} | {rows.changed:,} "
        f"| {rows.unchanged:,} |",
    ]
    if words.tell_compared(report):
        lines += ["", words.tell_unchanged(report)]
    lines += [f"\n{note}" for note in words.list_notes(report)]
    if conflicts := words.list_conflicts(report):
        lines.append(f"\n{_render_list(conflicts)}")
    lines += [f"\n{_render_list(change)}" for change in words.list_schema_changes(report)]
    columns, more = words.pick_changed(report)
    if columns:
        lines += ["", "| column | changed | share | example |", "|---|---:|---:|---|", *map(_render_column, columns)]
    if more:
        lines += ["", f"and {more:,} more columns"]
    return "\n".join(lines)


def _render_key(report: DiffReport) -> str:
    key, origin = words.list_key(report), words.tell_key_origin(report)
    if not key.shown:
        return origin
    return f"{_render_names(key)} ({origin})" if origin else _render_names(key)


def _render_column(column: ColumnDiff) -> str:
    shown = _code(words.tell_example(column.examples[0], _VALUE), 0, cell=True) if column.examples else ""
    name = _code(column.name, _NAME, cell=True)
    return f"| {name} | {column.changed:,} | {words.tell_share(column.share)} | {shown} |"


def _render_list(listed: Listed) -> str:
    return f"{listed.label}: {_render_names(listed)}"


def _render_names(listed: Listed) -> str:
    names = ", ".join(_code(name, 2 * _NAME) for name in listed.shown)
    return f"{names} and {listed.more:,} more" if listed.more else names


def _code(text: str, most: int, *, cell: bool = False) -> str:
    """Return a code span of a text, of at most `most` columns (0: as it is); a cell's pipes are escaped as GFM asks."""
    shown = words.show_name(text, most) if most else text
    longest = max((len(ticks) for ticks in re.findall("`+", shown)), default=0)
    fence = "`" * (longest + 1)
    # CommonMark takes one blank off either end, where both have one
    blank = " " if not shown or shown[0] in "` " or shown[-1] in "` " else ""
    inside = shown.replace("|", "\\|") if cell else shown
    return f"{fence}{blank}{inside}{blank}{fence}"
