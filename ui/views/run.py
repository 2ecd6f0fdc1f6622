"""One run: why it was stopped, what it would change in `main`, and the decision."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any

import altair as alt
import pandas as pd
import streamlit as st

from flows.commands.diff_cells import CellFilter, RowDiff
from flows.domain.errors import DartifactError
from flows.domain.runs import Run
from ui import actions, reads
from ui.format import (
    OUTCOME_MARKS,
    decide,
    link,
    plain,
    recall_shown,
    show_changed_columns,
    show_row_counts,
    show_said,
    tell_age,
    tell_error,
    tell_time,
)

PAGE = 50
ALL = "all"
_STOPPED = ("failed", "held")
_ORDER = ("failed", "errored", "warned", "skipped", "passed")
_SIGNS = {"added": "+ ", "removed": "− ", "changed": ""}
_COLOURS = {"+": "rgba(46, 160, 67, .25)", "−": "rgba(248, 81, 73, .25)"}
_CHANGED = "rgba(210, 153, 34, .30)"


def show_verdict(run: dict[str, Any]) -> None:
    """Say where the run stands and why, with what a person needs to go on by hand."""
    gate = f" at the {run['gate']} gate" if run["gate"] else ""
    words = f"{run['phase']}{gate}"
    reasons = "".join(f"\n- {plain(reason)}" for reason in run["reasons"])
    (st.error if run["phase"] in ("failed", "rejected") else st.warning if run["phase"] == "held" else st.success)(
        f"**{words}**{reasons}"
    )
    branch, about = st.columns([1, 1], vertical_alignment="center")
    branch.code(run["branch"], language=None)
    window = run["window"]
    stretch = f"{tell_time(window['lo'])} to {tell_time(window['hi'])[11:]}"
    about.caption(f"{run['rows'] or 0:,} rows · commit {(run['commit'] or 'none')[:12]} · window {stretch} "
                  f"({window['state']})")  # fmt: skip


def show_checks(run: dict[str, Any]) -> None:
    """Show every check, the failing ones first: measured, allowed, and how it went in the last runs."""
    if not run["checks"]:
        st.info("No gate has seen this run yet.")
        return
    checks = sorted(run["checks"], key=lambda each: _ORDER.index(each["outcome"]))
    counts = [f"{sum(each['outcome'] == name for each in checks)} {name}" for name in _ORDER]
    st.caption(" · ".join(each for each in counts if not each.startswith("0 ")))
    trends = reads.read_trends(run)
    st.dataframe(
        [
            {
                "outcome": f"{OUTCOME_MARKS[each['outcome']]} {each['outcome']}",
                "check": each["check"],
                "measured": each["measured"],
                "allowed": each["threshold"] or "",
                "last runs": trends.get(each["check"]),
                "failing rows": each["failing_rows"] or None,
                "of them in main": each["known_rows"],
                "what it says": each["message"],
            }
            for each in checks
        ],
        hide_index=True,
        width="stretch",
        column_config={
            "check": st.column_config.TextColumn(width="medium"),
            "allowed": st.column_config.TextColumn(width="small"),
            "last runs": st.column_config.LineChartColumn(
                help="what it measured, up to this run", width="small", color="gray"
            ),
            "what it says": st.column_config.TextColumn(width="large"),
        },
    )


def show_failing(run: dict[str, Any]) -> None:
    """Show the failing rows of a check, and how many rows of `main` fail it too."""
    checks = {each["check"]: each for each in run["checks"] if each["failing_rows"] and each["condition"]}
    if not checks:
        st.info("No check of this run has failing rows.")
        return
    check = choose("Check", list(checks), "failing_check")
    found = reads.read_failing(run["run_id"], check, PAGE)
    st.caption(f"{plain(found['message'])}. Shown: {len(found['rows']):,} of {found['failing_rows']:,}.")
    st.dataframe(found["rows"], hide_index=True, width="stretch")
    ask, save, _ = st.columns([1, 1, 2])
    if ask.button("Ask main the same", help="counts the rows of main that fail this check", width="stretch"):
        with st.spinner("counting in main"):
            count = reads.count_same_in_main(run["run_id"], checks[check]["condition"])
        st.info(f"{count:,} rows of main fail this check, without this run's.")
    frame = pd.DataFrame(found["rows"])
    save.download_button("Download as CSV", lambda: frame.to_csv(index=False), f"{run['run_id']}-{check}.csv",
                         "text/csv", on_click="ignore", width="stretch")  # fmt: skip


def show_diff(run: dict[str, Any]) -> None:
    """Show what the run would change in `main`: a line per column, then the rows, page by page."""
    if not run["commit"]:
        st.info("The run has brought no rows.")
        return
    with st.spinner("comparing with main"):
        stored = reads.read_diff(run["run_id"])
    report, hidden = stored.diff.report, reads.hide_examples(stored.diff.report)
    show_row_counts(report)
    if report.three_way:
        three = report.three_way
        st.caption(f"Keys changed by this run alone {three.run:,}, in main since it branched {three.main:,}, "
                   f"by both {three.both:,}.")  # fmt: skip
    conditions = {each["check"]: each["condition"] for each in run["checks"] if each["condition"]}
    kind_box, column_box, check_box, page_box = st.columns(4)
    with kind_box:
        kind = choose("Kind", [ALL, "added", "removed", "changed"], "kind")
    with column_box:
        column = choose("Column", [ALL, *(each.name for each in report.columns)], "column")
    with check_box:
        check = choose("Failing check", [ALL, *conditions], "check")
    page = page_box.number_input("Page", min_value=1, value=1, key="page", bind="query-params")
    only = CellFilter("" if kind == ALL else kind, "" if column == ALL else column, conditions.get(check, ""))
    rows = reads.read_rows(stored, int(page) - 1, PAGE, only, conditions)
    if not rows:
        st.info("Nothing differs here. Rows that main has in a newer version change nothing; "
                "all rows that fail a check are under Failing rows.")  # fmt: skip
    else:
        st.dataframe(lay_out(rows, hidden), hide_index=True, width="stretch")
        st.caption("old → new in changed cells, + added, − removed; ✗ fails a check")
    show_changed_columns(report, hidden)
    if not hidden:
        st.download_button("Download all cells", lambda: reads.pack_cells(stored), f"{run['run_id']}-cells.parquet",
                           on_click="ignore")  # fmt: skip


def lay_out(rows: Sequence[RowDiff], hidden: frozenset[str]) -> Any:
    """Return rows as a grid: key, kind, failing checks, then each column with its old and new value, marked."""
    columns: list[str] = []
    for each in rows:
        columns += [name for name in each.cells if name not in columns]
    lines = [
        {
            "fails": " ".join(["✗", *each.fails]) if each.fails else "",
            "key": reads.HIDDEN if hidden & {*_key_names(each.key)} else _tell_key(each.key),
            "kind": each.kind,
            **{name: tell_cell(each, name, hidden) for name in columns},
        }
        for each in rows
    ]
    return pd.DataFrame(lines).style.map(mark_cell, subset=columns).map(mark_failing, subset=["fails"])


def tell_cell(row: RowDiff, column: str, hidden: frozenset[str]) -> str:
    """Write one cell: `old → new`, `+ new`, `− old`, or nothing where it does not differ."""
    if column not in row.cells:
        return ""
    base, candidate = (
        reads.HIDDEN if column in hidden else "null" if each is None else each for each in row.cells[column]
    )
    if row.kind == "changed":
        return f"{base} → {candidate}"
    return f"{_SIGNS[row.kind]}{candidate if row.kind == 'added' else base}"


def mark_cell(text: str) -> str:
    """Colour a cell by its sign."""
    return f"background-color: {_COLOURS.get(text[0], _CHANGED)}" if text else ""


def mark_failing(text: str) -> str:
    """Colour what a row fails."""
    return f"background-color: {_COLOURS['−']}" if text else ""


def _tell_key(key: Any) -> str:
    return ", ".join(str(each) for each in key.values()) if isinstance(key, dict) else str(key)


def _key_names(key: Any) -> Sequence[str]:
    return list(key) if isinstance(key, dict) else ()


def show_distribution(run: dict[str, Any]) -> None:
    """Show how the values of a column lie in `main` and in this run, over each other."""
    if not run["commit"]:
        st.info("The run has brought no rows.")
        return
    hidden = reads.hidden_columns(run["source"])
    columns = [name for name in reads.list_columns(run["source"]) if name not in hidden]
    failing = [each["column"] for each in run["checks"] if each["outcome"] == "failed" and each["column"] in columns]
    columns.sort(key=lambda each: each not in failing)
    column = choose("Column", columns, "of")
    buckets = reads.read_distribution(run["run_id"], column)
    if not buckets:
        st.info("There is nothing but nulls.")
        return
    long = pd.DataFrame(
        [
            {"value": each.label, "lo": each.lo, "hi": each.hi, "rows of": side, "share": share}
            for each in buckets
            for side, share in (("main", each.main), ("this run", each.run))
        ]
    )
    is_number = buckets[0].lo is not None
    bars = alt.Chart(long).mark_bar(opacity=0.55).encode(
        x=alt.X("lo:Q", title=column, bin="binned") if is_number
        else alt.X("value:N", sort=[each.label for each in buckets], title=column),
        y=alt.Y("share:Q", stack=None, axis=alt.Axis(format="%"), title="share of rows"),
        color=alt.Color("rows of:N", scale=alt.Scale(domain=["main", "this run"], range=["#7f7f7f", "#1f77b4"])),
        tooltip=["rows of", "value", alt.Tooltip("share:Q", format=".2%")],
        **({"x2": "hi:Q"} if is_number else {"xOffset": "rows of:N"}),
    )  # fmt: skip
    st.altair_chart(bars.properties(height=280), width="stretch")
    st.dataframe(
        [{"value": each.label, "main": f"{each.main:.1%}", "this run": f"{each.run:.1%}"} for each in buckets],
        hide_index=True,
    )


def show_timeline(run: dict[str, Any]) -> None:
    """Show what happened to the run, with the time from each step to the next."""
    events = run["events"]
    times = [datetime.fromisoformat(each["at"]) for each in events]
    took = [tell_age(later - earlier) for earlier, later in pairwise(times)]
    st.dataframe(
        [
            {"at (UTC)": tell_time(each["at"]), "event": each["type"], "who": each["actor"], "until the next": spent,
             "why": each["why"]}
            for each, spent in zip(events, [*took, ""], strict=True)
        ],
        hide_index=True,
        width="stretch",
    )  # fmt: skip


def show_decision(run: dict[str, Any]) -> None:
    """Offer what can be decided now; the decision is on the commit and the report that were shown."""
    commit, report = recall_shown(f"run {run['run_id']}", (run["commit"], run["report"]))
    if run["phase"] not in _STOPPED:
        st.caption("Nothing is to be decided on this run.")
        return
    has_rows, run_id = bool(run["commit"]), run["run_id"]
    failed = [each for each in run["checks"] if each["outcome"] == "failed"]
    can_cut = has_rows and bool(failed) and all(each["condition"] for each in failed)
    with st.form("decision", border=True, enter_to_submit=False):
        reason = st.text_input("Reason", placeholder="why; kept in the ledger")
        wants_approve = st.form_submit_button("Approve", disabled=not has_rows, width="stretch")
        wants_cut = st.form_submit_button("Leave failing rows out", disabled=not can_cut, width="stretch",
                                          help="merge the rest; the failing rows stay on this branch")  # fmt: skip
        wants_reject = st.form_submit_button("Reject", width="stretch")
        wants_recheck = st.form_submit_button("Recheck", disabled=not has_rows, width="stretch")
    if wants_approve:
        decide(lambda: tell_phase(actions.approve(run_id, reason, commit, report)))
    if wants_cut:
        with st.spinner("bringing the rest"):
            decide(lambda: tell_cut(*actions.leave_failing_out(run_id, reason, commit, report)))
    if wants_reject:
        decide(lambda: tell_phase(actions.reject(run_id, reason, commit)))
    if wants_recheck:
        with st.spinner("asking the checks again"):
            decide(lambda: tell_phase(actions.recheck(run_id)))
    with st.expander("Upload a fix"), st.form("fix", border=False, enter_to_submit=False):
        file = st.file_uploader("All rows of the run, Parquet or CSV", type=["parquet", "csv"])
        why = st.text_input("Reason", key="fix_reason", placeholder="what was wrong")
        wants_fix = st.form_submit_button("Fix and check again", width="stretch")
        st.caption("By hand")
        st.code(f"dartifact checkout {run_id}", language=None)
    if wants_fix and file is None:
        st.error("Choose a file first.")
    elif wants_fix and file is not None:
        with st.spinner("checking the rows"):
            decide(lambda: tell_phase(actions.upload_fix(run_id, file.name, file.getvalue(), why)))


def tell_phase(run: Run) -> str:
    """Say where a run stands after a decision."""
    return f"{run.run_id} is {run.phase} now" + (f": {plain(run.reasons[0])}" if run.reasons else "")


def tell_cut(derived: Run, left: Run) -> str:
    """Say what became of the rows of a run that was cut."""
    brought = (derived.rows or 0) + (left.rows or 0)
    return (
        f"Of {brought:,} rows {derived.rows or 0:,} are [{derived.run_id}](run?run={derived.run_id}), which is "
        f"{derived.phase} now; {left.rows or 0:,} stay on {left.branch}."
    )


def choose(label: str, options: list[str], name: str) -> str:
    """Let one option be chosen; the choice is part of the URL."""
    return str(st.selectbox(label, options, key=name, bind="query-params"))


def show_part(show: Callable[[dict[str, Any]], None], run: dict[str, Any]) -> None:
    """Show a part that needs the lake; without it the rest of the page stays."""
    try:
        show(run)
    except DartifactError as error:
        tell_error(error)


PARTS: dict[str, Callable[[dict[str, Any]], None]] = {
    "Checks": show_checks,
    "Difference with main": show_diff,
    "Failing rows": show_failing,
    "Distributions": show_distribution,
    "Timeline": show_timeline,
}


def show_page() -> None:
    """Show the run that the URL names."""
    run_id = st.query_params.get("run", "").removeprefix("run-")
    if not run_id:
        st.info("Name a run in the address, or choose one on the page of runs.")
        link("Runs", "runs")
        return
    try:
        run = reads.read_run(run_id)
    except DartifactError as error:
        tell_error(error)
        return
    st.title(run["run_id"])
    show_said()
    left, right = st.columns([3, 1])
    with right:
        show_decision(run)
        if flow_run := reads.find_in_prefect(run):
            st.link_button("Open in Prefect", flow_run, width="stretch")
    with left:
        show_verdict(run)
        part = st.segmented_control(
            "Part",
            list(PARTS),
            default="Checks",
            key="part",
            bind="query-params",
            required=True,
            label_visibility="collapsed",
        )
        show_part(PARTS[part or "Checks"], run)


show_page()
