"""Dartifacts: what each one is, and what its marts would change in production."""

from __future__ import annotations

import streamlit as st

from dartifact.documents.dartifacts import DartifactDocument
from dartifact.domain.dartifacts import Passport
from dartifact.domain.decisions import Decision, Seen
from dartifact.domain.errors import DartifactError
from ui import actions, lake_reads, reads
from ui.difference import show_difference
from ui.format import (
    RECORDED,
    choose,
    decide,
    link,
    list_some,
    plain,
    recall_shown,
    show_said,
    show_waiting,
    tell_count,
    tell_error,
    tell_time,
)
from ui.people import who

MOST = 200
PRODUCTION = "production"


# The list


def show_list() -> None:
    """Show the newest dartifacts; each opens its page."""
    found = reads.list_dartifacts(MOST)
    if not found:
        st.info("No dartifacts yet. Build one with `dartifact stage`.")
        return
    st.dataframe(
        [
            {
                "dartifact": f"dartifacts?dartifact={each['dartifact']}",
                "state": each["state"],
                "built (UTC)": tell_time(each["created_at"]),
                "runs": len(each["runs"]),
                "reason": "; ".join(each["reasons"]),
            }
            for each in found
        ],
        hide_index=True,
        width="stretch",
        height=38 + 35 * min(len(found), 16),
        column_config={
            "dartifact": st.column_config.LinkColumn("dartifact", display_text=r"dartifact=(.*)$", width=140),
            "reason": st.column_config.TextColumn(width="large"),
        },
    )


# One dartifact


def show_passport(dartifact: DartifactDocument) -> None:
    """Say what a dartifact is."""
    passport = dartifact["passport"] or {}
    reasons = "".join(f"\n- {plain(each)}" for each in dartifact["reasons"])
    boxes = {"red": st.error, "bad": st.error, "green": st.success, "approved": st.success, "live": st.success}
    boxes.get(dartifact["state"], st.info)(f"**{dartifact['state']}**{reasons}")
    st.markdown("\n".join(f"- {line}" for line in tell_passport(dartifact, passport)))
    with st.expander("Runs"):
        st.write(", ".join(dartifact["runs"]) or "none")
    with st.expander("Passport (JSON)"):
        st.json(passport)


def tell_passport(dartifact: DartifactDocument, passport: Passport) -> list[str]:
    """Say in sentences what a passport holds."""
    cost, checks = passport.get("cost", {}), passport.get("checks", {})
    took = f" in {cost['seconds']:.1f} s" if "seconds" in cost else ""
    data = passport.get("inputs", {}).get("configuration", {}).get("data")
    new, gone = reads.compare_with_live(dartifact["runs"])
    lines = [
        f"built {tell_time(dartifact['created_at'])} UTC{took} from main {dartifact['main_commit'][:12]} "
        f"with code {dartifact['code_digest'][:12]}",
        f"contains {tell_count(len(dartifact['runs']), 'run')}" + (f" ({data} data)" if data else ""),
        f"{tell_count(len(new), 'run')} not yet in production: {list_some(new)}"
        if new
        else "all of its runs are in production",
    ]
    if gone:
        lines.append(f"{tell_count(len(gone), 'run')} of production not in it: {list_some(gone)}")
    if checks:
        lines.append("checks: " + ", ".join(f"{count} {outcome}" for outcome, count in checks.items() if count))
    if passport.get("refused"):
        lines.append(f"built with the last good code: {plain(str(passport['refused']))}")
    return lines


def show_difference_with(dartifact: DartifactDocument, base: str) -> None:
    """Show what its marts would change in production, or against another dartifact: all of them, then one by rows."""
    before = reads.read_base(None if base == PRODUCTION else base)
    if before is None or not before["commit"] or not dartifact["commit"]:
        st.info(f"{base if dartifact['commit'] else 'This dartifact'} has no marts to compare.")
        return
    marts = reads.compare_marts(before["passport"] or {}, dartifact["passport"] or {})
    if not marts:
        st.info("Neither of them has marts.")
        return
    st.dataframe(
        [
            {
                "mart": each["mart"],
                f"rows in {base}": each["rows_before"],
                "rows": each["rows"],
                "content": "≠ differs" if each["differs"] else "= same",
            }
            for each in marts
        ],
        hide_index=True,
        width="stretch",
    )
    mart = choose("Mart", [each["mart"] for each in sorted(marts, key=lambda each: not each["differs"])], "mart")
    sides = before["commit"], dartifact["commit"]
    shown = lake_reads.ask_mart_diff(mart, *sides)
    if shown is None:
        show_waiting(f"Comparing {mart}", lambda: lake_reads.ask_mart_diff(mart, *sides))
        return
    show_difference(shown, f"{dartifact['dartifact']}-{mart}")


def show_decision(dartifact: DartifactDocument) -> None:
    """Offer to approve or to reject the promotion of a dartifact, bound to the build that is shown."""
    name, found = dartifact["dartifact"], reads.read_approvals(dartifact["dartifact"])
    commit = recall_shown(f"dartifact {name}", dartifact["commit"])
    waits = dartifact["state"] in ("green", "approved")
    if waits and found["losses"]:
        st.warning(plain(f"Compared with production it {', '.join(found['losses'])}."))
    if found["given"] or (waits and found["needed"]):
        st.markdown(f"**{len(found['given'])} of {found['needed']} approvals**")
        st.markdown("\n".join(f"- {plain(each['who'])}: {plain(each['why'])}" for each in found["given"]))
    if not waits:
        st.caption("No decision needed.")
        return
    if found["authors"]:
        st.caption(f"Changed rows by hand and may not approve: {', '.join(found['authors'])}.")
    with st.form("decision", enter_to_submit=False):
        reason = st.text_input("Reason", placeholder=RECORDED)
        wants_approve = st.form_submit_button("Approve", type="primary", width="stretch")
        wants_reject = st.form_submit_button("Reject", width="stretch")
    decision = Decision(who().actor, reason, Seen(commit))
    if wants_approve:
        decide(lambda: tell_approved(name, decision))
    if wants_reject:
        decide(lambda: tell_rejected(name, decision))


def tell_rejected(name: str, decision: Decision) -> str:
    """Reject a dartifact, and say so."""
    rejected = actions.reject_dartifact(name, decision)
    return f"{rejected.dartifact_id} is rejected: it is never promoted."


def tell_approved(name: str, decision: Decision) -> str:
    """Approve a dartifact, and say how many approvals it has."""
    actions.approve_dartifact(name, decision)
    found = reads.read_approvals(name)
    return f"{name} has {len(found['given'])} of {found['needed']} approvals."


def show_one(name: str) -> None:
    """Show one dartifact: what it changes to the left, the decision to the right."""
    dartifact = reads.read_dartifact(name)
    show_said()
    left, right = st.columns([5, 3])
    with right:
        show_decision(dartifact)
        link("Production", "production")
    with left:
        show_passport(dartifact)
        others = [each["dartifact"] for each in reads.list_dartifacts(MOST) if each["dartifact"] != name]
        base = choose("Compare with", [PRODUCTION, *others], "base")
        show_difference_with(dartifact, base)


def show_page() -> None:
    """Show the dartifact that the URL names, else all of them."""
    name = st.query_params.get("dartifact", "")
    st.title(f"Dartifact {name}" if name else "Dartifacts")
    try:
        if name:
            show_one(name)
        else:
            show_list()
    except DartifactError as error:
        tell_error(error)


show_page()
