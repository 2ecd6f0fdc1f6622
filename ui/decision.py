"""The decision on a stopped run: it is about the commit and the report that were shown, and is made once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import streamlit as st

from dartifact.commands.review.decide import STOPPED
from dartifact.domain.decisions import Decision, Seen
from dartifact.domain.runs import Run
from ui import actions, lake_reads, masks
from ui.documents import ShownRun
from ui.format import RECORDED, decide, plain, recall_shown, tell_count
from ui.people import who


def show_decision(run: ShownRun) -> None:
    """Offer what can be decided now; the decision is on the commit and the report that were shown."""
    commit, report = recall_shown(f"run {run['run_id']}", (run["commit"], run["report"]))
    if run["phase"] not in STOPPED:
        st.caption("No decision needed.")
        return
    failed = [check for check in run["checks"] if check["outcome"] == "failed"]
    has_rows = bool(run["commit"])
    can_split = has_rows and bool(failed) and all(check["condition"] for check in failed)
    with st.form("decision", border=True, enter_to_submit=False):
        reason = st.text_input("Reason", placeholder=RECORDED)
        left, right = st.columns(2)
        wants_approve = left.form_submit_button(
            "Approve", disabled=not has_rows, width="stretch", help="Merge this run as it is"
        )
        wants_reject = right.form_submit_button(
            "Reject", width="stretch", help="Discard this run; its window stays a gap"
        )
        wants_split = left.form_submit_button(
            "Split off failing rows",
            disabled=not can_split,
            width="stretch",
            help="Merge the other rows; the failing rows stay on this branch",
        )
        wants_recheck = right.form_submit_button(
            "Recheck", disabled=not has_rows, width="stretch", help="Run the checks again, after they have changed"
        )
    run_id, decision = run["run_id"], Decision(who().actor, reason, Seen(commit, report))
    if wants_approve:
        decide(lambda: tell_phase(actions.approve(run_id, decision)))
    if wants_reject:
        decide(lambda: tell_phase(actions.reject(run_id, decision)))
    if wants_split:
        carry_out("Splitting run…", lambda: tell_split(*actions.split(run_id, decision)))
    if wants_recheck:
        carry_out("Re-running checks…", lambda: tell_phase(actions.recheck(run_id)))
    show_fix(run, decision)


def show_fix(run: ShownRun, decision: Decision) -> None:
    """Offer to give the run other rows, and its own ones to begin with."""
    run_id = run["run_id"]
    with st.expander("Upload a fix"):
        if run["commit"] and masks.mask_dataset(run["source"]).shown is None:
            st.download_button(
                "Download rows",
                lake_reads.prepare_batch(run_id),
                f"{run_id}.csv",
                "text/csv",
                on_click="ignore",
                width="stretch",
                help="CSV: edit it, then upload it here",
            )
        with st.form("fix", border=False, enter_to_submit=False):
            file = st.file_uploader("All rows of this run (Parquet or CSV)", type=["parquet", "csv"])
            reason = st.text_input("Reason for the fix", placeholder=RECORDED)
            wants_fix = st.form_submit_button("Fix and recheck", width="stretch")
        st.caption("Or fix it locally, with everything in one folder:")
        st.code(f"dartifact checkout {run_id}", language=None)
    if wants_fix and file is None:
        st.error("Choose a file first.")
    elif wants_fix and file is not None:
        fixed = replace(decision, reason=reason)
        carry_out("Checking rows…", lambda: tell_phase(actions.fix(run_id, fixed, file.name, file.getvalue())))


def carry_out(what: str, act: Callable[[], str]) -> None:
    """Carry out an action that takes a while, and say meanwhile what it is."""
    with st.spinner(what):
        decide(act)


def tell_phase(run: Run) -> str:
    """Say where a run stands after a decision."""
    return f"{run.run_id} is now {run.phase}" + (f": {plain(run.reasons[0])}" if run.reasons else "")


def tell_split(derived: Run, left: Run) -> str:
    """Say what became of the rows of a run that was split."""
    total = (derived.rows or 0) + (left.rows or 0)
    return (
        f"{derived.rows or 0:,} of {tell_count(total, 'row')} are now [{derived.run_id}](run?run={derived.run_id}), "
        f"{derived.phase}; {left.rows or 0:,} stay on {left.branch}."
    )
