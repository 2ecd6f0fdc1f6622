"""The way back: what a rollback of production would do, and the rollback itself."""

from __future__ import annotations

import streamlit as st

from dartifact.domain.errors import DartifactError
from ui import actions, lake_reads, reads
from ui.documents import RollbackPreview
from ui.format import (
    RECORDED,
    decide,
    link,
    list_some,
    plain,
    recall_shown,
    tell_ago,
    tell_count,
    tell_error,
    tell_time,
)
from ui.masks import reveal

LAST = "last"


def show_rollback(live: str) -> None:
    """Offer the way back: one click shows what it would do, the other does it. The choice is part of the URL."""
    leaves = recall_shown("live", live)
    asked = st.query_params.get("to", "")
    if not asked:
        if st.button("Roll back", type="primary", width="stretch"):
            st.query_params["to"] = LAST
            st.rerun()
        return
    to = None if asked == LAST else asked
    try:
        out = reads.preview_rollback(to, "unknown")["runs_out"]
        words = {
            "unknown": "Unknown: freeze promotions until an operator allows them",
            "runs": f"All {tell_count(len(out), 'run')} that leave production: revert them from main",
            "code": "The code: block dartifacts built with it",
            **{run_id: f"Run {run_id}: revert it from main" for run_id in out},
        }
        blame = st.selectbox("Cause", list(words), format_func=words.__getitem__, key="blame", bind="query-params")
        preview = reads.preview_rollback(to, blame)
    except DartifactError as error:
        tell_error(error)
        show_cancel()
        return
    show_preview(preview)
    with st.form("rollback", border=False, enter_to_submit=False):
        reason = st.text_input("Reason", placeholder=f"optional; {RECORDED}")
        confirmed = st.form_submit_button(f"Roll back to {preview['returns']} now", type="primary", width="stretch")
    if confirmed:
        decide(lambda: tell_rollback(leaves, preview["returns"], blame, reason))
    show_cancel()


def tell_rollback(leaves: str, to: str, blame: str, reason: str) -> str:
    """Roll back, and say what that did."""
    done = actions.roll_back(leaves, to, blame, reason)
    st.query_params.pop("to", None)
    said = [f"{done.returns} is live again; `resolve` returns {(done.commit or '')[:12]}."]
    if not done.published:
        said.append(f"Readers of the branch `production` still see {done.leaves}: {plain(done.note)}.")
    if done.reverts:
        said.append(f"Queued to be reverted from main: {', '.join(done.reverts)}.")
    if done.freezes:
        said.append("Promotions are frozen until an operator allows them.")
    return " ".join(said)


def show_preview(preview: RollbackPreview) -> None:
    """Say what a rollback would do."""
    leaves, returns, out = preview["leaves"], preview["returns"], preview["runs_out"]
    how = (
        f"immediately ({returns} is still deployed)"
        if preview["warm"]
        else f"after {returns} is published and smoke-tested"
    )
    lines = [
        f"Rolls back **{leaves}** → **{returns}** {how}",
        f"Its data was built {tell_ago(preview['data_of'])}, {tell_time(preview['data_of'])} UTC",
        *([f"{tell_count(len(out), 'run')} no longer in production: {list_some(out)}"] if out else []),
        *([f"Reverted from main: {list_some(preview['reverts'])}"] if preview["reverts"] else []),
        *(["Promotions are frozen until an operator allows them"] if preview["freezes"] else []),
        *([plain(preview["note"])] if preview["note"] else []),
    ]
    st.markdown("\n".join(f"- {line}" for line in lines))
    if preview["marts"]:
        show_changes(preview)
        link("Compare row by row", "dartifacts", dartifact=preview["returns"])


@st.fragment(run_every=1)
def show_changes(preview: RollbackPreview) -> None:
    """Show which marts change and how many rows of each; the rows are counted meanwhile, and hold nobody up."""
    st.dataframe(
        [
            {
                "mart": mart["mart"],
                "rows now": mart["rows_before"],
                "rows then": mart["rows"],
                "difference": tell_changes(mart["mart"], *preview["builds"]) if mart["differs"] else "none",
            }
            for mart in preview["marts"]
        ],
        hide_index=True,
        width="stretch",
        column_config={
            "mart": st.column_config.TextColumn(width=130),
            "rows now": st.column_config.NumberColumn(width=70),
            "rows then": st.column_config.NumberColumn(width=70),
            "difference": st.column_config.TextColumn(width=210),
        },
    )


def tell_changes(mart: str, now: str, then: str) -> str:
    """Say how many rows of a mart differ at two commits, as far as it is known."""
    try:
        found = lake_reads.ask_mart_diff(mart, now, then, patience=0)
    except DartifactError as error:
        return f"cannot be counted: {reveal(error.message)}"
    if found is None:
        return "counting…"
    rows = found.report.rows
    return f"{rows.changed:,} changed, {rows.added:,} added, {rows.removed:,} removed"


def show_cancel() -> None:
    """Offer to leave production as it is."""
    if st.button("Cancel", width="stretch"):
        st.query_params.pop("to", None)
        st.rerun()
