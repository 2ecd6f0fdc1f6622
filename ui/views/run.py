"""One run: why it was stopped, what it would change in `main`, and the decision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from flows.commands.diff_cells import CellFilter
from flows.domain.errors import DartifactError
from flows.domain.runs import Run
from ui import actions, reads
from ui.format import OUTCOME_MARKS, decide, show_changed_columns, show_row_counts, show_said, tell_error

PAGE = 50
_STOPPED = ("failed", "held")


def show_verdict(run: dict[str, Any]) -> None:
    """Say where the run stands and why, with what a person needs to go on by hand."""
    gate = f" at the {run['gate']} gate" if run["gate"] else ""
    words = f"{run['phase']}{gate}"
    reasons = "".join(f"\n- {reason}" for reason in run["reasons"])
    (st.error if run["phase"] in ("failed", "rejected") else st.warning if run["phase"] == "held" else st.success)(
        f"**{words}**{reasons}"
    )
    branch, rows, window = st.columns([3, 1, 2])
    branch.caption("Branch")
    branch.code(run["branch"], language=None)
    rows.metric("Rows", f"{run['rows'] or 0:,}")
    window.caption("Window")
    window.write(f"{run['window']['lo'][:19]} to {run['window']['hi'][:19]}, {run['window']['state']}")


def show_checks(run: dict[str, Any]) -> None:
    """Show every check, the failing ones first, with what was measured and what was allowed."""
    if not run["checks"]:
        st.info("No gate has seen this run yet.")
        return
    order = ("failed", "errored", "warned", "skipped", "passed")
    checks = sorted(run["checks"], key=lambda each: order.index(each["outcome"]))
    counts = [f"{sum(each['outcome'] == name for each in checks)} {name}" for name in order]
    st.caption(" · ".join(each for each in counts if not each.startswith("0 ")))
    st.dataframe(
        [
            {
                "": OUTCOME_MARKS[each["outcome"]],
                "outcome": each["outcome"],
                "check": each["check"],
                "what it says": each["message"],
                "measured": each["measured"],
                "allowed": each["threshold"],
                "failing rows": each["failing_rows"] or None,
                "of them known": each["known_rows"],
            }
            for each in checks
        ],
        hide_index=True,
        width="stretch",
    )


def show_failing(run: dict[str, Any]) -> None:
    """Show the failing rows of a check."""
    checks = [each["check"] for each in run["checks"] if each["failing_rows"] and each["condition"]]
    if not checks:
        st.info("No check of this run has failing rows.")
        return
    check = st.selectbox("Check", checks, key="failing_check")
    found = reads.read_failing(run["run_id"], check, PAGE)
    st.caption(f"{found['message']}. Shown: {len(found['rows']):,} of {found['failing_rows']:,}.")
    st.dataframe(found["rows"], hide_index=True, width="stretch")


def show_diff(run: dict[str, Any]) -> None:
    """Show what the run would change in `main`: a line per column, then the cells, page by page."""
    if not run["commit"]:
        st.info("The run has brought no rows.")
        return
    with st.spinner("comparing with main"):
        stored = reads.read_diff(run["run_id"])
    report = stored.diff.report
    show_row_counts(report)
    if report.three_way:
        three = report.three_way
        st.caption(f"Keys changed by this run alone {three.run:,}, in main since it branched {three.main:,}, "
                   f"by both {three.both:,}.")  # fmt: skip
    show_changed_columns(report)
    kind_box, column_box, check_box, page_box = st.columns(4)
    kind = kind_box.selectbox("Kind", ["all", "added", "removed", "changed"], key="kind")
    column = column_box.selectbox("Column", ["all", *(each.name for each in report.columns)], key="column")
    conditions = {each["check"]: each["condition"] for each in run["checks"] if each["condition"]}
    check = check_box.selectbox("Failing check", ["all", *conditions], key="check")
    page = page_box.number_input("Page", min_value=1, value=1, key="page")
    only = CellFilter("" if kind == "all" else kind, "" if column == "all" else column, conditions.get(check, ""))
    cells = reads.read_cells(stored, int(page) - 1, PAGE, only)
    if not cells:
        st.info("Nothing differs here.")
        return
    st.dataframe(
        [
            {"key": str(each.key), "column": each.column, "kind": each.kind, "main": each.base,
             "with this run": each.candidate}
            for each in cells
        ],
        hide_index=True,
        width="stretch",
    )  # fmt: skip


def show_decision(run: dict[str, Any]) -> None:
    """Offer what can be decided now; the decision is on the commit and the report that are shown."""
    if run["phase"] not in _STOPPED:
        st.caption("Nothing is to be decided on this run.")
        return
    with st.form("decision", border=True):
        reason = st.text_input("Reason", placeholder="why; kept in the ledger")
        st.caption(f"You act as {actions.who()}, on commit {(run['commit'] or 'none')[:12]}.")
        wants_approve = st.form_submit_button("Approve", disabled=not run["commit"], width="stretch")
        wants_reject = st.form_submit_button("Reject", width="stretch")
        wants_recheck = st.form_submit_button("Recheck", disabled=not run["commit"], width="stretch")
    if wants_approve:
        decide(lambda: tell_phase(actions.approve(run["run_id"], reason, run["commit"], run["report"])))
    if wants_reject:
        decide(lambda: tell_phase(actions.reject(run["run_id"], reason, run["commit"])))
    if wants_recheck:
        decide(lambda: tell_phase(actions.recheck(run["run_id"])))
    st.caption("Other rows: on the command line")
    st.code(
        f"dartifact checkout {run['run_id']}\ndartifact fix {run['run_id']} --file FILE --reason WHY", language=None
    )


def tell_phase(run: Run) -> str:
    """Say where a run stands after a decision."""
    return f"{run.run_id} is {run.phase} now"


def show_part(show: Callable[[dict[str, Any]], None], run: dict[str, Any]) -> None:
    """Show a part that needs the lake; without it the rest of the page stays."""
    try:
        show(run)
    except DartifactError as error:
        tell_error(error)


def show_page() -> None:
    """Show the run that the URL names."""
    run_id = st.query_params.get("run", "").removeprefix("run-")
    if not run_id:
        st.info("Name a run in the address, or choose one on the page of runs.")
        return
    try:
        run = reads.read_run(run_id)
    except DartifactError as error:
        tell_error(error)
        return
    st.title(run["run_id"])
    show_said()
    left, right = st.columns([3, 1])
    with left:
        show_verdict(run)
    with right:
        show_decision(run)
    checks, diff, failing, events = st.tabs(["Checks", "Difference with main", "Failing rows", "Events"])
    with checks:
        show_checks(run)
    with diff:
        show_part(show_diff, run)
    with failing:
        show_part(show_failing, run)
    with events:
        st.dataframe(
            [{"at": each["at"], "event": each["type"], "who": each["actor"],
              "why": each["payload"].get("reason") or "; ".join(each["payload"].get("reasons") or ())}
             for each in reversed(run["events"])],
            hide_index=True,
            width="stretch",
        )  # fmt: skip


show_page()
