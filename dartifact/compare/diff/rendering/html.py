"""Reports as one HTML page that needs nothing else: no script, no font, no request."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

from dartifact.compare.diff.rendering import words
from dartifact.compare.diff.rendering.style import STYLE
from dartifact.compare.diff.report import NO_TABLES, ColumnDiff, DiffReport, LoneTables

_NAME = 120
_VALUE = 500
_OUTCOMES = ("added", "removed", "changed", "unchanged")
_SIGNS = {"added": "+", "removed": "−", "changed": "~"}
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


@dataclass(frozen=True, slots=True)
class ShownCell:
    """A differing cell of a row as texts; None is null."""

    column: str
    base: str | None
    candidate: str | None


@dataclass(frozen=True, slots=True)
class ShownRow:
    """A differing row: its key as text, added, removed or changed, its first differing cells, and how many more."""

    key: str
    kind: str
    cells: tuple[ShownCell, ...]
    more: int = 0


@dataclass(frozen=True, slots=True)
class ShownTable:
    """A report and the first of the rows that differ, in the order of the key."""

    report: DiffReport
    rows: tuple[ShownRow, ...]


def render_html(tables: Sequence[ShownTable], lone: LoneTables = NO_TABLES) -> str:
    """Return the page; with several tables a table of all with links comes first, and the most changed one on top."""
    order = words.sort_by_changes([table.report for table in tables])
    rank = {id(report): place for place, report in enumerate(order)}
    ordered = sorted(tables, key=lambda table: rank[id(table.report)])
    many = len(tables) > 1
    is_one = len(tables) == 1 and not lone
    title = f"{_title(order[0])}: {words.tell_verdict(order[0])}" if is_one else words.tell_verdicts(order)
    head = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_text(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>"
    )
    parts = [head, f"<header><h1>{_text(title)}</h1></header>", "<main>"]
    parts += [f"<p>{_listed(listed)}</p>" for listed in words.list_lone(lone)]
    if many:
        parts += _render_overview(order)
    for number, table in enumerate(ordered):
        parts += _render_table(table, number, many=many)
    return "\n".join([*parts, "</main>", "</body>", "</html>"])


def _render_overview(order: Sequence[DiffReport]) -> Iterator[str]:
    yield '<nav aria-labelledby="tables"><h2 id="tables">Tables</h2>'
    rows = []
    for number, report in enumerate(order):
        name = f'<th scope="row"><a href="#t{number}">{_text(_title(report))}</a></th>'
        counts = "".join(f'<td class="n">{_count(report, outcome)}</td>' for outcome in _OUTCOMES)
        rows.append(f"<tr>{name}<td>{_badge(words.tell_verdict(report))}</td>{counts}</tr>")
    yield _grid("All tables", ("table", "verdict", *_OUTCOMES), _body(rows), numbers=_OUTCOMES)
    yield "</nav>"


def _render_table(table: ShownTable, number: int, *, many: bool) -> Iterator[str]:
    report = table.report
    yield f'<section id="t{number}" aria-labelledby="h{number}">'
    heading = f"{_text(_title(report))} {_badge(words.tell_verdict(report))}"
    yield f'<h2 id="h{number}">{heading}</h2>' if many else f'<h2 id="h{number}">Summary</h2>'
    yield f"<p>{_code(report.base)} → {_code(report.candidate)}</p>"
    yield f"<p>Key: {_tell_key(report)}</p>"
    counts = "".join(
        f"<div><dt>{name}</dt><dd>{_count(report, name)}</dd></div>" for name in ("base", "candidate", *_OUTCOMES)
    )
    yield f'<h3>Rows</h3><dl class="counts">{counts}</dl>'
    if words.tell_compared(report):
        yield f"<p>{_text(words.tell_unchanged(report))}</p>"
    yield from (f"<p>{_text(note)}</p>" for note in words.list_notes(report))
    if conflicts := words.list_conflicts(report):
        yield f"<p>{_listed(conflicts)}</p>"
    yield from _render_schema(report)
    yield from _render_columns(report)
    yield from _render_rows(table)
    if many:
        yield '<p class="back"><a href="#tables">All tables</a></p>'
    yield "</section>"


def _render_schema(report: DiffReport) -> Iterator[str]:
    if changes := words.list_schema_changes(report):
        yield "<h3>Schema</h3><ul>"
        yield from (f"<li>{_listed(change)}</li>" for change in changes)
        yield "</ul>"


def _render_columns(report: DiffReport) -> Iterator[str]:
    columns, more = words.pick_changed(report, most=100)
    if not columns:
        return
    yield "<h3>Changed columns</h3>"
    yield _grid("Changed columns", ("column", "changed", "examples"), _body(map(_render_column, columns)))
    if more:
        yield f"<p>and {more:,} more columns</p>"


def _render_column(column: ColumnDiff) -> str:
    share = f"{100 * column.share:.2f}"
    bar = f'<span class="bar" aria-hidden="true"><span style="width:{share}%"></span></span>'
    told = f"{column.changed:,} ({words.tell_share(column.share)})"
    figures = "".join(f"<div>{_text(figure)}</div>" for figure in words.list_figures(column))
    examples = "".join(
        f"<li><b>{_text(words.show_name(str(example.key), _NAME))}</b>: {_change(example.base, example.candidate)}</li>"
        for example in column.examples
    )
    return (
        f'<tr><th scope="row">{_name(column.name)}</th><td class="told">{_text(told)}{bar}{figures}</td>'
        f'<td class="wide"><ul>{examples}</ul></td></tr>'
    )


def _render_rows(table: ShownTable) -> Iterator[str]:
    if not table.rows:
        return
    total = words.count_differing(table.report)
    shown = len(table.rows)
    caption = f"The first {shown:,} of {total:,} differing rows" if shown < total else f"All {total:,} differing rows"
    yield f"<h3>{caption}</h3>"
    yield _grid(caption, ("key", "column", "base → candidate"), "".join(map(_render_row, table.rows)))


def _render_row(row: ShownRow) -> str:
    lines = [f'<td>{_name(cell.column)}</td><td class="wide">{_side(cell, row.kind)}</td>' for cell in row.cells]
    if row.more:
        lines.append(f'<td colspan="2">and {row.more:,} more columns</td>')
    if not lines:
        lines.append('<td colspan="2">no column beside the key is compared</td>')
    kind = f'<span class="kind">{_SIGNS[row.kind]} {row.kind}</span>'
    head = f'<th scope="rowgroup" rowspan="{len(lines)}">{_text(words.show_name(row.key, _NAME))} {kind}</th>'
    lines[0] = head + lines[0]
    return f'<tbody class="{row.kind}">{"".join(f"<tr>{line}</tr>" for line in lines)}</tbody>'


def _side(cell: ShownCell, kind: str) -> str:
    if kind == "changed":
        return _change(cell.base, cell.candidate)
    value, tag = (cell.candidate, "ins") if kind == "added" else (cell.base, "del")
    return _value(value, words.show_value(value, _VALUE), tag)


def _change(base: str | None, candidate: str | None) -> str:
    old, new = words.show_pair(base, candidate, _VALUE)
    return f"{_value(base, old, 'del')} → {_value(candidate, new, 'ins')}"


def _value(value: str | None, shown: str, tag: str) -> str:
    null = ' class="null"' if value is None else ""
    return f"<{tag}{null}>{_text(shown)}</{tag}>"


def _tell_key(report: DiffReport) -> str:
    key, origin = words.list_key(report), _text(words.tell_key_origin(report))
    if not key.shown:
        return origin
    names = _names(key)
    return f"{names} ({origin})" if origin else names


def _listed(listed: words.Listed) -> str:
    return f"{_text(listed.label)}: {_names(listed)}"


def _names(listed: words.Listed) -> str:
    names = ", ".join(map(_code, listed.shown))
    return f"{names} and {listed.more:,} more" if listed.more else names


def _count(report: DiffReport, name: str) -> str:
    return f"{getattr(report.rows, name):,}"


def _grid(caption: str, heads: Sequence[str], bodies: str, *, numbers: Sequence[str] = ()) -> str:
    """Return a table that scrolls in itself where the screen is narrow, also by keyboard."""
    cells = "".join(f'<th scope="col"{_number(head in numbers)}>{head}</th>' for head in heads)
    head = f'<caption class="hidden">{escape(caption)}</caption><thead><tr>{cells}</tr></thead>'
    return (
        f'<div class="grid" role="region" tabindex="0" aria-label="{escape(caption)}">'
        f"<table>{head}{bodies}</table></div>"
    )


def _body(rows: Iterable[str]) -> str:
    return f"<tbody>{''.join(rows)}</tbody>"


def _number(is_number: bool) -> str:
    return ' class="n"' if is_number else ""


def _badge(verdict: str) -> str:
    return f'<span class="badge {verdict}">{verdict}</span>'


def _title(report: DiffReport) -> str:
    return words.show_name(report.table, _NAME) if report.table else "diff"


def _name(name: str) -> str:
    return _text(words.show_name(name, _NAME))


def _code(name: str) -> str:
    return f"<code>{_name(name)}</code>"


def _text(text: str) -> str:
    return escape(text, quote=True)
