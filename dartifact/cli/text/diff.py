"""What the verb `diff` prints beside text and Markdown: JSON as a stream, and the rows of the HTML page."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from textwrap import indent
from typing import Any

from dartifact.commands.diffs.cells import RowDiff, read_row_page
from dartifact.commands.diffs.store import StoredDiff
from dartifact.compare.diff.rendering.html import ShownCell, ShownRow, ShownTable
from dartifact.compare.diff.report import SCHEMA_VERSION, DiffReport, LoneTables
from dartifact.domain.storable import clean_json

_ROWS, _FEWEST_ROWS, _ALL_ROWS = 200, 20, 6_000  # of one table; of one of very many; about all on one page
_CELLS = 20  # of one row


def stream_documents(reports: Iterable[DiffReport], lone: LoneTables) -> Iterator[str]:
    """Yield the lines of one JSON document about several tables, those of a table as soon as its report is there.

    `same` stands last: a document without it is of a diff that has failed.
    """
    same, comma = not lone, ""
    yield f'{{\n  "schema_version": {SCHEMA_VERSION},\n  "tables": ['
    for report in reports:
        same = same and report.same
        if comma:
            yield comma
        # the comma stands before the next table: whether there is one is not known yet
        yield indent(render_document(report), "    ")
        comma = "    ,"
    names = (f'  "tables_{kind}": {json.dumps(names)},' for kind, names in asdict(lone).items())
    yield "\n".join(["  ],", *names, f'  "same": {json.dumps(same)}\n}}'])


def render_document(report: DiffReport) -> str:
    """Return the JSON document of one table."""
    return json.dumps(clean_json(report.to_json()), indent=2, default=str)


def show_table(stored: StoredDiff, tables: int) -> ShownTable:
    """Return a report with its first differing rows: up to 200, fewer where the page has very many tables."""
    size = min(_ROWS, max(_FEWEST_ROWS, _ALL_ROWS // tables))
    keyed = bool(stored.diff.report.key)
    return ShownTable(stored.diff.report, tuple(_show_row(row, keyed) for row in read_row_page(stored, size=size)))


def _show_row(row: RowDiff, keyed: bool) -> ShownRow:
    cells = [ShownCell(name, *sides) for name, sides in row.cells.items() if name]
    shown = tuple(cells[:_CELLS])
    return ShownRow(_tell_key(row.key) if keyed else f"row {row.row:,}", row.kind, shown, len(cells) - len(shown))


def _tell_key(key: Any) -> str:
    if isinstance(key, dict):
        return ", ".join(f"{name}={_tell_key(value)}" for name, value in key.items())
    return "null" if key is None else str(key)
