"""The decision on a stopped run: it is about the commit and the report that were shown, and is made once."""

from __future__ import annotations

from typing import Any

import streamlit as st

from dartifact.commands.review.decide import STOPPED
from dartifact.domain.runs import Run
from ui import actions, lake_reads, masks
from ui.format import decide, plain, recall_shown


def show_decision(run: dict[str, Any]) -> None:
    """Offer what can be decided now; the decision is on the commit and the report that were shown."""
    commit, report = recall_shown(f"run {run['run_id']}", (run["commit"], run["report"]))
    if run["phase"] not in STOPPED:
        st.caption("Nothing is to be decided on this run.")
        return
    has_rows, run_id = bool(run["commit"]), run["run_id"]
    failed = [each for each in run["checks"] if each["outcome"] == "failed"]
    can_cut = has_rows and bool(failed) and all(each["condition"] for each in failed)
    with st.form("decision", border=True, enter_to_submit=False):
        reason = st.text_input("Reason", placeholder="why; kept in the ledger")
        left, right = st.columns(2)
        wants_approve = left.form_submit_button("Approve", disabled=not has_rows, width="stretch",
                                                help="merge it as it is")  # fmt: skip
        wants_reject = right.form_submit_button("Reject", width="stretch", help="it never lands; its rows stay a hole")
        wants_cut = left.form_submit_button("Leave rows out", disabled=not can_cut, width="stretch",
                                            help="merge the rest; the failing rows stay on this branch")  # fmt: skip
        wants_recheck = right.form_submit_button("Recheck", disabled=not has_rows, width="stretch",
                                                 help="ask the checks again, after they have changed")  # fmt: skip
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
    show_fix(run, commit)


def show_fix(run: dict[str, Any], commit: str | None) -> None:
    """Offer to give the run other rows, and its own ones to begin with."""
    run_id = run["run_id"]
    with st.expander("Upload a fix"):
        if run["commit"] and not masks.hidden_columns(run["source"]):
            st.download_button("Download its rows", lambda: lake_reads.pack_batch(run_id), f"{run_id}.csv", "text/csv",
                               on_click="ignore", width="stretch", help="CSV: edit it, and upload it here")  # fmt: skip
        with st.form("fix", border=False, enter_to_submit=False):
            file = st.file_uploader("All rows of the run, Parquet or CSV", type=["parquet", "csv"])
            why = st.text_input("Reason of the fix", placeholder="what was wrong")
            wants_fix = st.form_submit_button("Fix and check again", width="stretch")
        st.caption("Or by hand, with everything in one folder:")
        st.code(f"dartifact checkout {run_id}", language=None)
    if wants_fix and file is None:
        st.error("Choose a file first.")
    elif wants_fix and file is not None:
        with st.spinner("checking the rows"):
            decide(lambda: tell_phase(actions.upload_fix(run_id, file.name, file.getvalue(), why, commit)))


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
