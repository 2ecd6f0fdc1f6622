"""Production: what each slot holds, what moves, and the way back."""

from __future__ import annotations

from typing import Any

import streamlit as st

from dartifact.domain.errors import DartifactError
from ui import actions, lake_reads, reads
from ui.format import decide, link, list_some, plain, recall_shown, show_said, tell_ago, tell_error, tell_time

SLOTS = ("blue", "green")
PAST = 30
LAST = "last"


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
    waits = f", waits until {tell_time(under_way['goes_on_at'])} UTC" if under_way["goes_on_at"] else ""
    where = f"at step {under_way['number']} of {under_way['of']}"
    st.info(f"The {under_way['kind']} of {under_way['dartifact']} is {where}{waits}")
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
        words = {"unknown": "unknown: promotions are frozen until a person says",
                 "runs": f"the {len(out)} runs that leave: they are taken out of main",
                 "code": "the code: dartifacts built with it are refused",
                 **{run_id: f"the run {run_id}" for run_id in out}}  # fmt: skip
        blame = st.selectbox("What is to blame", list(words), format_func=words.__getitem__, key="blame",
                             bind="query-params")  # fmt: skip
        preview = reads.preview_rollback(to, blame)
    except DartifactError as error:
        tell_error(error)
        show_cancel()
        return
    show_preview(preview)
    with st.form("rollback", border=False, enter_to_submit=False):
        reason = st.text_input("Reason", placeholder="why; kept in the ledger, may be left empty")
        confirmed = st.form_submit_button(f"Roll back to {preview['returns']} now", type="primary", width="stretch")
    if confirmed:
        decide(lambda: carry_back(leaves, preview["returns"], blame, reason))
    show_cancel()


def carry_back(leaves: str, to: str, blame: str, reason: str) -> str:
    """Roll back, and say what that did."""
    done = actions.roll_back(leaves, to, blame, reason)
    st.query_params.pop("to", None)
    said = [f"{done.returns} is live again; `resolve` answers {(done.commit or '')[:12]}."]
    if not done.published:
        said.append(f"Plain readers of `production` still see {done.leaves}: {plain(done.note)}.")
    if done.reverts:
        said.append(f"{len(done.reverts)} runs wait in the merge queue to leave main: {', '.join(done.reverts)}.")
    if done.freezes:
        said.append("Promotions are frozen until they are allowed again.")
    return " ".join(said)


def show_preview(preview: dict[str, Any]) -> None:
    """Say what a rollback would do."""
    how = "at once: it is still in its slot" if preview["warm"] else "after it is published and smoke-tested"
    lines = [
        f"**{preview['leaves']}** leaves, **{preview['returns']}** comes back {how}",
        f"its data was built at {tell_time(preview['data_of'])} UTC, {tell_ago(preview['data_of'])}",
        *(
            [f"{len(preview['runs_out'])} runs no longer shown: {list_some(preview['runs_out'])}"]
            if preview["runs_out"]
            else []
        ),
        *([f"taken out of main: {list_some(preview['reverts'])}"] if preview["reverts"] else []),
        *(["promotions are frozen until a person allows them"] if preview["freezes"] else []),
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
                "what changes": tell_changes(each["mart"], *preview["builds"]) if each["differs"] else "nothing",
            }
            for each in preview["marts"]
        ],
        hide_index=True,
        width="stretch",
        column_config={
            "mart": st.column_config.TextColumn(width=130),
            "rows now": st.column_config.NumberColumn(width=70),
            "rows then": st.column_config.NumberColumn(width=70),
            "what changes": st.column_config.TextColumn(width=210),
        },
    )


def tell_changes(mart: str, now: str, then: str) -> str:
    """Say how many rows of a mart differ at two commits, as far as it is known."""
    try:
        found = lake_reads.ask_mart_diff(mart, now, then, patience=0)
    except DartifactError as error:
        return f"cannot be counted: {error.message}"
    if found is None:
        return "counting"
    rows = found.diff.report.rows
    return f"{rows.changed:,} rows changed, {rows.added:,} new, {rows.removed:,} gone"


def show_cancel() -> None:
    """Offer to leave everything as it is."""
    if st.button("Leave production as it is", width="stretch"):
        st.query_params.pop("to", None)
        st.rerun()


def show_abort(under_way: dict[str, Any]) -> None:
    """Offer to end the promotion under way, or to go on with it."""
    plan_id = recall_shown("plan", under_way["plan_id"])
    with st.form("abort", enter_to_submit=False):
        st.markdown(f"**End the promotion of {under_way['dartifact']}**: all consumers read what is live, at once; "
                    "promotions are frozen.")  # fmt: skip
        reason = st.text_input("Reason", placeholder="why; kept in the ledger")
        wants_abort = st.form_submit_button("Abort", type="primary", width="stretch")
        wants_more = st.form_submit_button("Go on now", width="stretch", help="the station goes on by itself, too")
    if wants_abort:
        decide(lambda: end(plan_id, reason))
    if wants_more:
        with st.spinner("the next steps"):
            decide(lambda: tell_promotion(None))


def end(plan_id: str, reason: str) -> str:
    """End a promotion, and say so."""
    ended = actions.abort(plan_id, reason.strip() or "no reason given")
    return f"The promotion of {ended.dartifact} has ended; it stays approved."


def show_promote(production: dict[str, Any]) -> None:
    """Offer the next promotion with the steps it would take, or say what is in its way."""
    if production["frozen"]:
        with st.form("unfreeze", enter_to_submit=False):
            reason = st.text_input("Reason", placeholder="why promotions may go on")
            wants_unfreeze = st.form_submit_button("Allow promotions", width="stretch")
        if wants_unfreeze:
            decide(lambda: allow(reason))
        return
    try:
        plan = reads.plan_next()
    except DartifactError as error:
        tell_error(error)
        return
    if plan is None:
        st.caption("No dartifact waits to be promoted.")
        return
    shown = recall_shown("next", plan["dartifact"])
    with st.form("promote", enter_to_submit=False):
        st.markdown(f"**Next: {plan['dartifact']}** to {plan['slot']}\n\n{list_steps(plan['steps'], 0)}")
        wants_promote = st.form_submit_button("Promote", width="stretch")
    if wants_promote:
        with st.spinner(f"promoting {plan['dartifact']}: publish, smoke test, first share"):
            decide(lambda: tell_promotion(shown))


def allow(reason: str) -> str:
    """Allow promotions again."""
    actions.unfreeze(reason.strip() or "no reason given")
    return "Promotions are allowed."


def tell_promotion(dartifact: str | None) -> str:
    """Promote, and say how far it came."""
    plan = actions.promote(dartifact)
    if plan is None:
        return "Nothing waits to be promoted."
    found = reads.read_under_way()
    if found and found["plan_id"] == plan.plan_id:
        return f"{plan.dartifact} is at step {found['number']} of {found['of']}; the station goes on with it."
    return f"{plan.dartifact} is live on {plan.slot}."


def show_past(live: str | None) -> None:
    """Show past promotions; each that served can be brought back from here."""
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
                "bring back": f"production?to={each['dartifact']}"
                if each["state"] == "done" and each["dartifact"] != live
                else "",
            }
            for each in past
        ],
        hide_index=True,
        width="stretch",
        column_config={"bring back": st.column_config.LinkColumn("bring back", display_text="preview")},
    )


def show_page() -> None:
    """Show production and what can be done about it."""
    st.title("Production")
    show_said()
    if reads.is_prefect_up() is False:
        st.warning("Prefect does not answer: nothing is brought, built or promoted by itself. "
                   "What you do here takes effect at once all the same.")  # fmt: skip
    else:
        st.caption("What you do here takes effect at once, also without Prefect.")
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
