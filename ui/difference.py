"""The differing rows of a diff as a grid: old and new value in one cell, marked, filtered and paged by the address."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from dartifact.commands.diffs.cells import RowDiff
from dartifact.compare.diff.report import DiffReport
from ui.format import ALL, choose
from ui.lake_reads import ShownDiff

PAGE = 50
_HEIGHT = 400
_SIGNS = {"added": "+ ", "removed": "− ", "changed": ""}
_COLOURS = {"+": "rgba(46, 160, 67, .25)", "−": "rgba(248, 81, 73, .25)"}
_CHANGED = "rgba(210, 153, 34, .30)"


def show_difference(shown: ShownDiff, name: str, first: Sequence[str] = ()) -> None:
    """Show what differs: how many rows, which columns, then the rows themselves, those that fail a check first.

    `name` is that of the file that is downloaded; the columns `first` stand before the others.
    """
    report = shown.report
    show_counts(report)
    if report.three_way:
        three = report.three_way
        st.caption(
            f"Changed keys: {three.run:,} only in this run, {three.main:,} only in main since it branched, "
            f"{three.both:,} in both."
        )
    kind, column, check, page = ask_filter(shown)
    rows = shown.read_rows(page - 1, PAGE, kind=kind, column=column, check=check)
    if rows:
        height = min(_HEIGHT, 38 + 35 * len(rows))
        st.dataframe(
            lay_out(rows, first),
            hide_index=True,
            width="stretch",
            height=height,
            column_config={"fails": st.column_config.TextColumn(width=140)},
        )
        marks = "old → new in changed cells, + added, − removed" + ("; ✗ fails a check" if shown.checks else "")
        st.caption(f"rows {PAGE * (page - 1) + 1:,} to {PAGE * (page - 1) + len(rows):,} · {marks}")
        if shown.checks and page == 1 and not (kind or column or check) and not rows[0].fails:
            st.caption("None of the failing rows would change main: it has the same or newer versions.")
    else:
        st.info("No differences." if page == 1 else "Page out of range.")
    show_columns(shown)
    if any((report.rows.added, report.rows.removed, report.rows.changed)):
        st.download_button(
            "Download all cells",
            shown.pack_cells,
            f"{name}-cells.parquet",
            on_click="ignore",
            help="every differing cell, Parquet: key, column, base, candidate, kind",
        )


def show_counts(report: DiffReport) -> None:
    """Show how many rows a diff adds, removes, changes and leaves."""
    rows = report.rows
    st.markdown(
        f"Rows: **{rows.added:,}** added · **{rows.removed:,}** removed · **{rows.changed:,}** changed · "
        f"**{rows.unchanged:,}** unchanged"
    )


def ask_filter(shown: ShownDiff) -> tuple[str, str, str, int]:
    """Ask which of the differing rows are shown, and for the page: kind, column, check, page; the URL has all."""
    kind_box, column_box, check_box, page_box = st.columns([1, 1, 1, 1])
    with kind_box:
        kind = choose("Kind", [ALL, "added", "removed", "changed"], "kind", every="all kinds")
    with column_box:
        columns = [each.name for each in shown.report.columns if not shown.mask.hides(each.name)]
        column = choose("Column", [ALL, *columns], "column", every="all columns")
    with check_box:
        check = choose("Failing check", [ALL, *shown.checks], "check", every="all checks") if shown.checks else ALL
    page = page_box.number_input(
        "Page",
        min_value=1,
        value=1,
        key="page",
        bind="query-params",
        icon=":material/auto_stories:",
        label_visibility="collapsed",
    )
    chosen = ["" if each == ALL else each for each in (kind, column, check)]
    return chosen[0], chosen[1], chosen[2], int(page)


def show_columns(shown: ShownDiff) -> None:
    """Show a line for each column that a diff changes, the most changed first."""
    changed = sorted((each for each in shown.report.columns if each.changed), key=lambda each: -each.changed)
    if changed:
        st.dataframe(
            [
                {
                    "column": each.name,
                    "changed": each.changed,
                    "share": f"{each.share:.2%}",
                    "mean change": f"{each.shift.mean_change:+g}" if each.shift else "",
                    "e.g.": f"{each.examples[0].base} → {each.examples[0].candidate}" if each.examples else "",
                }
                for each in changed
            ],
            hide_index=True,
            width="stretch",
        )


def lay_out(rows: Sequence[RowDiff], first: Sequence[str] = ()) -> Any:
    """Return rows as a grid: failing checks, key, kind, then each column with its old and new value, marked."""
    columns: list[str] = []
    for each in rows:
        columns += [name for name in each.cells if name not in columns]
    columns.sort(key=lambda name: name not in first)
    lines = [
        {
            "fails": _tell_fails(each.fails),
            "key": _tell_key(each.key),
            "kind": each.kind,
            **{name: tell_cell(each, name) for name in columns},
        }
        for each in rows
    ]
    frame = pd.DataFrame(lines)
    if not any(each.fails for each in rows):
        return frame.drop(columns="fails").style.map(mark_cell, subset=columns)
    return frame.style.map(mark_cell, subset=columns).map(mark_failing, subset=["fails"])


def tell_cell(row: RowDiff, column: str) -> str:
    """Write one cell: `old → new`, `+ new`, `− old`, or nothing where it does not differ."""
    if column not in row.cells:
        return ""
    base, candidate = ("null" if each is None else each for each in row.cells[column])
    if row.kind == "changed":
        return f"{base} → {candidate}"
    return f"{_SIGNS[row.kind]}{candidate if row.kind == 'added' else base}"


def mark_cell(text: str) -> str:
    """Colour a cell by its sign."""
    return f"background-color: {_COLOURS.get(text[0], _CHANGED)}" if text else ""


def mark_failing(text: str) -> str:
    """Colour what a row fails."""
    return f"background-color: {_COLOURS['−']}" if text else ""


def _tell_fails(checks: Sequence[str]) -> str:
    if not checks:
        return ""
    name = checks[0].partition(".")[2]  # without that of the dataset
    return f"✗ {name}" + (f" +{len(checks) - 1}" if checks[1:] else "")


def _tell_key(key: Any) -> str:
    return ", ".join(str(each) for each in key.values()) if isinstance(key, dict) else str(key)
