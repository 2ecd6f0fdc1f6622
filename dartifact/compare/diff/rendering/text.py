"""Reports as text for a terminal: no line is wider than WIDTH columns."""

from __future__ import annotations

from collections.abc import Sequence

from dartifact.compare.diff.rendering import words
from dartifact.compare.diff.rendering.lines import measure, pad, wrap
from dartifact.compare.diff.rendering.words import Listed
from dartifact.compare.diff.report import NO_TABLES, DiffReport, LoneTables

WIDTH = 80
_NAME = 60  # of a table, column, side or type
_VALUE = 60
_LABEL = 13


def render_text(reports: Sequence[DiffReport], lone: LoneTables = NO_TABLES) -> str:
    """Return one report, or several below a table of all tables; before them the tables that one side has alone."""
    alone = [line for listed in words.list_lone(lone) for line in wrap(_tell_list(listed), WIDTH, first="", rest="  ")]
    overview = ["\n".join(alone)] if alone else []
    overview += [_render_overview(reports)] if len(reports) > 1 else []
    return "\n\n".join([*overview, *map(_render_report, reports)])


def _render_overview(reports: Sequence[DiffReport]) -> str:
    cells = [("", "added", "removed", "changed"), *map(_list_figures, reports)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    most = WIDTH - 2 - sum(widths) - 2 * len(widths)
    names = ["", *(words.show_name(report.table, most) for report in reports)]
    longest = max(map(measure, names))
    lines = [words.tell_verdicts(reports)]
    for name, (verdict, *counts) in zip(names, cells, strict=True):
        figures = (f"{count:>{width}}" for count, width in zip(counts, widths[1:], strict=True))
        lines.append("  ".join([f"  {pad(name, longest)}", pad(verdict, widths[0]), *figures]))
    return "\n".join(lines)


def _list_figures(report: DiffReport) -> tuple[str, str, str, str]:
    rows = report.rows
    return words.tell_verdict(report), f"{rows.added:,}", f"{rows.removed:,}", f"{rows.changed:,}"


def _render_report(report: DiffReport) -> str:
    columns, more = words.pick_changed(report)
    lines = [*_render_head(report), *_section("key", _tell_key(report)), *_section("rows", _tell_rows(report))]
    for note in words.list_notes(report):
        lines += _section("", note)
    if conflicts := words.list_conflicts(report):
        lines += _section("", _tell_list(conflicts))
    for place, change in enumerate(words.list_schema_changes(report)):
        lines += _section("" if place else "schema", _tell_list(change))
    for column in columns:
        name = words.show_name(column.name, _NAME)
        lines += wrap(f"{name}: {words.tell_column(column)}", WIDTH, first="  ", rest=" " * 6)
        for example in column.examples:
            lines += wrap(words.tell_example(example, _VALUE), WIDTH, first=" " * 4, rest=" " * 6)
    if more:
        lines.append(f"  and {more:,} more columns")
    return "\n".join(lines)


def _render_head(report: DiffReport) -> list[str]:
    table, base, candidate = (words.show_name(name, _NAME) for name in (report.table, report.base, report.candidate))
    sides = f"{base} → {candidate}: {words.tell_verdict(report)}"
    return wrap(f"{table}: {sides}" if table else sides, WIDTH, rest="  ")


def _tell_key(report: DiffReport) -> str:
    key, origin = words.list_key(report), words.tell_key_origin(report)
    if not key.shown:
        return origin
    return f"{_tell_names(key)} ({origin})" if origin else _tell_names(key)


def _tell_rows(report: DiffReport) -> str:
    rows = report.rows
    counts = f"{rows.added:,} added, {rows.removed:,} removed, {rows.changed:,} changed"
    return f"{rows.base:,} → {rows.candidate:,}: {counts}, {words.tell_unchanged(report)}"


def _tell_list(listed: Listed) -> str:
    return f"{listed.label}: {_tell_names(listed)}"


def _tell_names(listed: Listed) -> str:
    names = ", ".join(words.show_name(name, _NAME) for name in listed.shown)
    return f"{names} and {listed.more:,} more" if listed.more else names


def _section(label: str, text: str) -> list[str]:
    return wrap(text, WIDTH, first=f"  {label}".ljust(_LABEL), rest=" " * _LABEL)
