"""Production: what each slot holds, what moves, and the way back."""

from __future__ import annotations

from typing import Any

import streamlit as st

from dartifact.domain.errors import DartifactError
from ui import actions, lake_reads, reads
from ui.format import (
    RECORDED,
    decide,
    link,
    list_some,
    plain,
    recall_shown,
    show_said,
    tell_ago,
    tell_count,
    tell_error,
    tell_time,
)

SLOTS = ("blue", "green")
PAST = 30
LAST = "last"
_NOTHING_WAITS = "No dartifact is waiting for promotion."


def show_slots(production: dict[str, Any]) -> None:
    """Show both slots: what each holds, who reads it."""
    for place, slot in zip(st.columns(2), SLOTS, strict=True):
        is_active = production["active"] == slot
        with place.container(border=True):
            st.subheader(f"{'●' if is_active else '○'} {slot}" + (" · active" if is_active else ""))
            st.markdown(f"**{production['dartifacts'][slot] or 'empty'}**")
            share = production["weights"].get(slot, 0)
            st.progress(share / 100, text=f"{share} % of the named consumers")
            built = production["built"][slot]
            age = f" · data {tell_ago(built).replace('ago', 'old')}" if built else ""
            st.caption(f"commit {(production['commits'][slot] or 'none')[:12]}{age}")


def show_under_way(under_way: dict[str, Any]) -> None:
    """Show the steps of what moves, done and to come."""
    waits = f", waiting until {tell_time(under_way['goes_on_at'])} UTC" if under_way["goes_on_at"] else ""
    where = f"step {under_way['number']} of {under_way['of']}"
    st.info(f"{under_way['kind'].capitalize()} of {under_way['dartifact']}: {where}{waits}")
    st.markdown(list_steps(under_way["steps"], under_way["number"]))


def list_steps(steps: list[str], current: int) -> str:
    """List steps with a mark each: done, current, to come."""
    marks = ["✓" if number < current else "▸" if number == current else "·" for number in range(1, len(steps) + 1)]
    return "\n".join(
        f"{number}. {mark} {step}" for number, (mark, step) in enumerate(zip(marks, steps, strict=True), 1)
    )


@st.fragment(run_every=2)
def show_state() -> None:
    """Show where production stands, fresh every two seconds."""
    try:
        production, under_way = reads.read_production(), reads.read_under_way()
    except DartifactError as error:
        tell_error(error)
        return
    if production["frozen"]:
        st.warning(f"Promotions are frozen: {plain(production['frozen'])}")
    show_slots(production)
    if under_way:
        show_under_way(under_way)


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


def show_preview(preview: dict[str, Any]) -> None:
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
def show_changes(preview: dict[str, Any]) -> None:
    """Show which marts change and how many rows of each; the rows are counted meanwhile, and hold nobody up."""
    st.dataframe(
        [
            {
                "mart": each["mart"],
                "rows now": each["rows_before"],
                "rows then": each["rows"],
                "difference": tell_changes(each["mart"], *preview["builds"]) if each["differs"] else "none",
            }
            for each in preview["marts"]
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
        return f"cannot be counted: {error.message}"
    if found is None:
        return "counting…"
    rows = found.diff.report.rows
    return f"{rows.changed:,} changed, {rows.added:,} added, {rows.removed:,} removed"


def show_cancel() -> None:
    """Offer to leave production as it is."""
    if st.button("Cancel", width="stretch"):
        st.query_params.pop("to", None)
        st.rerun()


def show_abort(under_way: dict[str, Any]) -> None:
    """Offer to abort the promotion under way, or to continue it."""
    plan_id = recall_shown("plan", under_way["plan_id"])
    with st.form("abort", enter_to_submit=False):
        st.markdown(
            f"**Abort the promotion of {under_way['dartifact']}**: all consumers read the live dartifact again "
            "immediately; promotions are frozen."
        )
        reason = st.text_input("Reason", placeholder=RECORDED)
        wants_abort = st.form_submit_button("Abort", type="primary", width="stretch")
        wants_more = st.form_submit_button("Continue now", width="stretch", help="It also continues on schedule")
    if wants_abort:
        decide(lambda: tell_aborted(plan_id, reason))
    if wants_more:
        with st.spinner("Continuing…"):
            decide(lambda: tell_promotion(None))


def tell_aborted(plan_id: str, reason: str) -> str:
    """Abort a promotion, and say so."""
    aborted = actions.abort(plan_id, reason.strip() or "no reason given")
    return f"The promotion of {aborted.dartifact} is aborted; the dartifact stays approved."


def show_promote(production: dict[str, Any]) -> None:
    """Offer the next promotion with the steps it would take, or say what is in its way."""
    if production["frozen"]:
        with st.form("unfreeze", enter_to_submit=False):
            reason = st.text_input("Reason", placeholder=RECORDED)
            wants_unfreeze = st.form_submit_button("Allow promotions", width="stretch")
        if wants_unfreeze:
            decide(lambda: tell_allowed(reason))
        return
    try:
        plan = reads.plan_next()
    except DartifactError as error:
        tell_error(error)
        return
    if plan is None:
        st.caption(_NOTHING_WAITS)
        return
    shown = recall_shown("next", plan["dartifact"])
    with st.form("promote", enter_to_submit=False):
        st.markdown(f"**Next: {plan['dartifact']}** to {plan['slot']}\n\n{list_steps(plan['steps'], 0)}")
        wants_promote = st.form_submit_button("Promote", width="stretch")
    if wants_promote:
        with st.spinner(f"Promoting {plan['dartifact']}: publish, smoke test, first share…"):
            decide(lambda: tell_promotion(shown))


def tell_allowed(reason: str) -> str:
    """Allow promotions again."""
    actions.unfreeze(reason.strip() or "no reason given")
    return "Promotions are allowed again."


def tell_promotion(dartifact: str | None) -> str:
    """Promote, and say how far it came."""
    plan = actions.promote(dartifact)
    if plan is None:
        return _NOTHING_WAITS
    found = reads.read_under_way()
    if found and found["plan_id"] == plan.plan_id:
        return f"{plan.dartifact} is at step {found['number']} of {found['of']}; it continues on schedule."
    return f"{plan.dartifact} is live on {plan.slot}."


def show_past(live: str | None) -> None:
    """Show past promotions; production can be rolled back to each that served."""
    past = reads.list_promotions(PAST)
    if not past:
        return
    st.subheader("Promotions and rollbacks")
    st.dataframe(
        [
            {
                "started": tell_time(each["started"]),
                "kind": each["kind"],
                "dartifact": each["dartifact"],
                "slot": each["slot"],
                "state": each["state"],
                "steps": each["steps"],
                "roll back": f"production?to={each['dartifact']}"
                if each["state"] == "done" and each["dartifact"] != live
                else "",
            }
            for each in past
        ],
        hide_index=True,
        width="stretch",
        column_config={"roll back": st.column_config.LinkColumn("roll back", display_text="roll back to…")},
    )


def show_page() -> None:
    """Show production and what can be done about it."""
    st.title("Production")
    show_said()
    if reads.is_prefect_up() is False:
        st.warning("Prefect is unreachable: schedules are paused. Actions here still take effect immediately.")
    else:
        st.caption("Actions here take effect immediately, even without Prefect.")
    try:
        production, under_way = reads.read_production(), reads.read_under_way()
    except DartifactError as error:
        tell_error(error)
        return
    left, right = st.columns([3, 2])
    with left:
        show_state()
        show_past(production["live"])
    with right:
        if production["live"]:
            show_rollback(production["live"])
        else:
            st.info("Nothing is live yet.")
        if under_way and under_way["kind"] == "promotion":
            show_abort(under_way)
        else:
            show_promote(production)


show_page()
