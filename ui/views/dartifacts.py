"""Dartifacts: what each one is, and what its marts would change in production."""

from __future__ import annotations

from typing import Any

import streamlit as st

from flows.domain.errors import DartifactError
from ui import actions, reads
from ui.format import (
    decide,
    link,
    plain,
    recall_shown,
    show_changed_columns,
    show_row_counts,
    show_said,
    tell_error,
    tell_time,
)

MOST = 200
PRODUCTION = "production"


def show_list() -> None:
    """Show the newest dartifacts; each opens its page."""
    found = reads.list_dartifacts(MOST)
    if not found:
        st.info("No dartifact was built yet. `dartifact stage` builds one of what is in main.")
        return
    st.dataframe(
        [
            {
                "dartifact": f"dartifacts?dartifact={each['dartifact']}",
                "state": each["state"],
                "built": tell_time(each["created_at"]),
                "runs": len(each["runs"]),
                "why": "; ".join(each["reasons"]),
            }
            for each in found
        ],
        hide_index=True,
        width="stretch",
        column_config={"dartifact": st.column_config.LinkColumn("dartifact", display_text=r"dartifact=(.*)$")},
    )


def show_passport(dartifact: dict[str, Any]) -> None:
    """Say what a dartifact is."""
    passport = dartifact["passport"] or {}
    reasons = "".join(f"\n- {plain(each)}" for each in dartifact["reasons"])
    bad = dartifact["state"] in ("red", "bad")
    (st.error if bad else st.success)(f"**{dartifact['state']}**{reasons}")
    st.markdown(
        f"Built at {tell_time(dartifact['created_at'])} UTC from main {dartifact['main_commit'][:12]} "
        f"with the code {dartifact['code_digest'][:12]}; it holds {len(dartifact['runs'])} runs."
    )
    marts = passport.get("marts", {})
    if marts:
        st.dataframe(
            [{"mart": name, "rows": figures["rows"]} for name, figures in marts.items()],
            hide_index=True,
        )
    with st.expander("Runs"):
        st.write(", ".join(dartifact["runs"]) or "none")
    with st.expander("Passport as it is written"):
        st.json(passport)


def show_difference(dartifact: dict[str, Any], base: str) -> None:
    """Show what its marts would change in production, or against another dartifact."""
    st.subheader(f"Marts against {base}")
    other = reads.read_production()["settled"] if base == PRODUCTION else reads.read_dartifact(base)["commit"]
    if not other or not dartifact["commit"]:
        st.info(f"{base if not other else 'This dartifact'} holds no marts to compare.")
        return
    marts = reads.name_marts(other, dartifact["commit"])
    for mart in marts:
        st.markdown(f"**{mart}**")
        try:
            with st.spinner(f"comparing {mart}"):
                report = reads.read_mart_diff(mart, other, dartifact["commit"]).diff.report
        except DartifactError as error:
            tell_error(error)
            continue
        show_row_counts(report)
        show_changed_columns(report, reads.hidden_columns())


def show_decision(dartifact: dict[str, Any]) -> None:
    """Offer to approve or to reject the promotion of a dartifact, bound to the build that is shown."""
    name, found = dartifact["dartifact"], reads.read_approvals(dartifact["dartifact"])
    commit = recall_shown(f"dartifact {name}", dartifact["commit"])
    waits = dartifact["state"] in ("green", "approved")
    if found["given"] or (waits and found["needed"]):
        st.markdown(f"**{len(found['given'])} of {found['needed']} approvals**")
        st.markdown("\n".join(f"- {plain(each['who'])}: {plain(each['why'])}" for each in found["given"]))
    if not waits:
        return
    if found["authors"]:
        st.caption(f"Rows were changed by hand by {', '.join(found['authors'])}, who may not approve.")
    with st.form("decision", enter_to_submit=False):
        reason = st.text_input("Reason", placeholder="why; kept in the ledger")
        wants_approve = st.form_submit_button("Approve", type="primary", width="stretch")
        wants_reject = st.form_submit_button("Reject", width="stretch")
    if wants_approve:
        decide(lambda: tell_approved(name, reason, commit))
    if wants_reject:
        decide(lambda: f"{actions.reject_dartifact(name, reason, commit).dartifact_id} is bad now: "
                       "it is never promoted.")  # fmt: skip


def tell_approved(name: str, reason: str, commit: str) -> str:
    """Approve a dartifact, and say how many approvals it has."""
    actions.approve_dartifact(name, reason, commit)
    found = reads.read_approvals(name)
    return f"{name} has {len(found['given'])} approvals; the policy asks for {found['needed']}."


def show_page() -> None:
    """Show the dartifact that the URL names, else all of them."""
    name = st.query_params.get("dartifact", "")
    st.title(f"Dartifact {name}" if name else "Dartifacts")
    try:
        if not name:
            show_list()
            return
        dartifact = reads.read_dartifact(name)
        show_said()
        left, right = st.columns([3, 1])
        with left:
            show_passport(dartifact)
        with right:
            show_decision(dartifact)
            link("Production", "production")
        others = [each["dartifact"] for each in reads.list_dartifacts(MOST) if each["dartifact"] != name]
        asked = st.query_params.get("base", PRODUCTION)
        bases = [PRODUCTION, *others]
        base = st.selectbox("Compare with", bases, index=bases.index(asked) if asked in bases else 0)
        st.query_params["base"] = base
        show_difference(dartifact, base)
    except DartifactError as error:
        tell_error(error)


show_page()
