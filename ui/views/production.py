"""Production: what each slot holds, what moves, and the way back."""

from __future__ import annotations

import streamlit as st

from dartifact.domain.errors import DartifactError
from ui import actions, reads
from ui.documents import SlotsDocument, StepsDocument
from ui.format import (
    RECORDED,
    decide,
    plain,
    recall_shown,
    show_said,
    tell_ago,
    tell_error,
    tell_time,
)
from ui.rollback import show_rollback
from ui.stack import is_prefect_up

SLOTS = ("blue", "green")
PAST = 30
_NOTHING_WAITS = "No dartifact is waiting for promotion."


def show_slots(production: SlotsDocument) -> None:
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


def show_under_way(under_way: StepsDocument) -> None:
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


def show_abort(under_way: StepsDocument) -> None:
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


def show_promote(production: SlotsDocument) -> None:
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
    if is_prefect_up() is False:
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
