"""One run on one screen: why it was stopped, what it would change in `main`, its checks, and the decision in reach."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from itertools import pairwise

import streamlit as st

from dartifact.commands.review.decide import STOPPED
from dartifact.domain.errors import DartifactError
from dartifact.domain.runs import read_run_id
from ui import lake_reads, reads
from ui.checks import show_checks
from ui.decision import show_decision
from ui.difference import show_difference
from ui.distribution import show_distribution
from ui.documents import ShownEvent, ShownRun
from ui.exports import write_csv_text
from ui.format import (
    PHASE_COLOURS,
    PHASE_MARKS,
    choose,
    link,
    plain,
    show_said,
    show_waiting,
    tell_count,
    tell_duration,
    tell_error,
    tell_time,
)

MOST_FAILING = 50
_NO_ROWS = "This run has no rows."


# What it is


def show_verdict(run: ShownRun) -> None:
    """Say where the run stands and why, how it came there, with what a person needs to go on by hand."""
    gate = f" at the {run['gate']} gate" if run["gate"] else ""
    words = f"{PHASE_MARKS[run['phase']]} {run['phase']}{gate}"
    reasons = "".join(f"\n- {plain(reason)}" for reason in run["reasons"])
    boxes = {"red": st.error, "orange": st.warning, "green": st.success}
    boxes.get(PHASE_COLOURS[run["phase"]], st.info)(f"**{words}**{reasons}")
    branch, about = st.columns([1, 1], vertical_alignment="center")
    branch.code(run["branch"], language=None)
    window = run["window"]
    stretch = f"{tell_time(window['lo'])} to {tell_time(window['hi'])[11:]}"
    about.caption(
        f"{tell_count(run['rows'] or 0, 'row')} · commit {(run['commit'] or 'none')[:12]} · window {stretch} "
        f"({window['state']})"
    )
    st.caption(tell_way(run["events"]))


def tell_way(events: list[ShownEvent], most: int = 6) -> str:
    """Say in one line what happened to the run, with the time from each event to the next."""
    if not events:
        return ""
    times = [datetime.fromisoformat(each["at"]) for each in events]
    parts = [f"{tell_time(times[0])} **{_tell_event(events[0])}**"]
    for (earlier, later), event in zip(pairwise(times), events[1:], strict=True):
        parts.append(f"{tell_duration(later - earlier)} → **{_tell_event(event)}**")
    if len(parts) > most:
        parts = [*parts[:2], f"{len(parts) - most} more", *parts[2 - most :]]
    return " · ".join(parts)


def _tell_event(event: ShownEvent) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", " ", event["type"]).lower()


def show_timeline(run: ShownRun) -> None:
    """Show what happened to the run, with the time from each step to the next."""
    events = run["events"]
    times = [datetime.fromisoformat(each["at"]) for each in events]
    took = [tell_duration(later - earlier) for earlier, later in pairwise(times)]
    st.dataframe(
        [
            {
                "time (UTC)": tell_time(each["at"]),
                "event": each["type"],
                "actor": each["actor"],
                "time to next": spent,
                "reason": each["why"],
                "origin": each["place"],
            }
            for each, spent in zip(events, [*took, ""], strict=True)
        ],
        hide_index=True,
        width="stretch",
    )


# What its rows are


def show_diff(run: ShownRun) -> None:
    """Show what the run would change in `main`."""
    if not run["commit"]:
        st.info(_NO_ROWS)
        return
    shown = lake_reads.ask_diff(run["run_id"])
    if shown is None:
        show_waiting("Comparing with main", lambda: lake_reads.ask_diff(run["run_id"]))
        return
    rows = shown.report.rows
    if run["phase"] in STOPPED and not any((rows.added, rows.removed, rows.changed)):
        st.info(
            "Merging this run would change nothing: main has the same or newer versions of its rows. "
            "Rows that fail a check are under Failing rows."
        )
    first = [check["column"] for check in run["checks"] if check["check"] in shown.checks and check["column"]]
    show_difference(shown, run["run_id"], first)


def show_failing(run: ShownRun) -> None:
    """Show the failing rows of a check."""
    checks = [each["check"] for each in run["checks"] if each["failing_rows"] and each["condition"]]
    if not checks:
        st.info("No failing rows.")
        return
    check = choose("Check", checks, "failing_check")
    found = lake_reads.read_failing(run["run_id"], check, MOST_FAILING)
    st.caption(f"{plain(found['message'])}. Showing {len(found['rows']):,} of {found['failing_rows']:,}.")
    st.dataframe(found["rows"], hide_index=True, width="stretch")
    st.download_button(
        "Download as CSV",
        lambda: write_csv_text(found["rows"]),
        f"{run['run_id']}-{check}.csv",
        "text/csv",
        on_click="ignore",
    )


def show_column(run: ShownRun) -> None:
    """Show how the values of a column lie in `main` and in this run; first one that a check complains of."""
    if not run["commit"]:
        st.info(_NO_ROWS)
        return
    columns = lake_reads.list_columns(run["source"])
    failing = [each["column"] for each in run["checks"] if each["outcome"] == "failed" and each["column"] in columns]
    columns.sort(key=lambda each: each not in failing)
    column = choose("Column", columns, "of")
    show_distribution(column, lake_reads.read_distribution(run["run_id"], column))


# The page

PARTS: dict[str, Callable[[ShownRun], None]] = {
    "Difference with main": show_diff,
    "Failing rows": show_failing,
    "Distributions": show_column,
    "Timeline": show_timeline,
}


def show_part(run: ShownRun, part: str) -> None:
    """Show a part that needs the lake; without it the rest of the page stays."""
    try:
        PARTS[part](run)
    except DartifactError as error:
        tell_error(error)
        st.caption("The lake is unreachable. Showing ledger data; you can still approve or reject.")


def show_run(run: ShownRun) -> None:
    """Show a run: what it would change to the left, the decision and the checks to the right."""
    left, right = st.columns([5, 3])
    with left:
        show_verdict(run)
        part = st.segmented_control(
            "Part",
            list(PARTS),
            default=next(iter(PARTS)),
            key="part",
            bind="query-params",
            required=True,
            label_visibility="collapsed",
        )
        place = st.container()
    with right:
        show_decision(run)
        show_checks(run)
        if flow_run := reads.find_in_prefect(run):
            st.link_button("Open in Prefect", flow_run, width="stretch")
    with place:  # last: all else is there while it is computed
        show_part(run, part or next(iter(PARTS)))


def show_page() -> None:
    """Show the run that the URL names."""
    run_id = read_run_id(st.query_params.get("run", ""))
    if not run_id:
        st.info("No run selected. Choose one in Runs.")
        link("Runs", "runs")
        return
    try:
        run = reads.read_run(run_id)
    except DartifactError as error:
        tell_error(error)
        return
    st.title(run["run_id"])
    show_said()
    show_run(run)


show_page()
