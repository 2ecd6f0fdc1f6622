"""How the pages say things: marks and words for states, ages, errors, and what became of an action."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import streamlit as st

from flows.compare.report import DiffReport
from flows.domain.errors import DartifactError

PHASE_MARKS = {"failed": "✗", "held": "‖", "rejected": "✗", "reverted": "↩", "live": "●", "merged": "✓", "queued": "…"}
OUTCOME_MARKS = {"passed": "✓", "warned": "!", "failed": "✗", "skipped": "–", "errored": "?"}
_SAID = "said"


def tell_age(age: timedelta) -> str:
    """Say how long something takes or is ago, in the two units that matter."""
    seconds = max(0, int(age.total_seconds()))
    days, hours, minutes = seconds // 86400, seconds // 3600 % 24, seconds // 60 % 60
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds % 60} s" if minutes else f"{seconds} s"


def tell_time(time: datetime | str | None) -> str:
    """Write a time to the second, UTC; nothing for None."""
    if time is None:
        return ""
    return f"{datetime.fromisoformat(time) if isinstance(time, str) else time:%Y-%m-%d %H:%M:%S}"


def tell_error(error: DartifactError) -> None:
    """Show an error with what can be done about it."""
    st.error(error.message + (f" (try: {error.hint})" if error.hint else ""))


def decide(act: Callable[[], str]) -> None:
    """Carry out an action and show the page anew with what it answers, or say why it was refused.

    What is shown anew decides nothing again.
    """
    try:
        said = act()
    except DartifactError as error:
        tell_error(error)
        return
    st.session_state[_SAID] = said
    st.rerun()


def show_said() -> None:
    """Say once what the last action did."""
    if said := st.session_state.pop(_SAID, None):
        st.success(said)


def show_row_counts(report: DiffReport) -> None:
    """Show how many rows a diff adds, removes, changes and leaves."""
    for place, (name, count) in zip(
        st.columns(4),
        {"added": report.rows.added, "removed": report.rows.removed, "changed": report.rows.changed,
         "unchanged": report.rows.unchanged}.items(),
        strict=True,
    ):  # fmt: skip
        place.metric(f"rows {name}", f"{count:,}")


def show_changed_columns(report: DiffReport) -> None:
    """Show a line for each column that a diff changes, the most changed first."""
    changed = [each for each in report.columns if each.changed]
    if changed:
        st.dataframe(
            [
                {"column": each.name, "changed": each.changed, "share": f"{each.share:.2%}",
                 "e.g.": f"{each.examples[0].base} → {each.examples[0].candidate}" if each.examples else ""}
                for each in sorted(changed, key=lambda each: -each.changed)
            ],
            hide_index=True,
            width="stretch",
        )  # fmt: skip


def ask_filter(label: str, name: str) -> str:
    """Ask for a value that is kept in the URL under a name."""
    value = st.text_input(label, value=st.query_params.get(name, ""), placeholder="all").strip()
    if value != st.query_params.get(name, ""):
        st.query_params.pop("before", None)
    _keep(name, value)
    return value


def read_before() -> int | None:
    """Return where the page that the URL names begins; None for the newest."""
    asked = st.query_params.get("before", "")
    return int(asked) if asked.isdecimal() else None


def show_paging(oldest: int | None) -> None:
    """Offer the newest page where another one is shown, and the older one if there is more after `oldest`."""
    newest_place, older_place, _ = st.columns([1, 1, 4])
    if st.query_params.get("before") and newest_place.button("Newest", width="stretch"):
        st.query_params.pop("before")
        st.rerun()
    if oldest is not None and older_place.button("Older", width="stretch"):
        st.query_params["before"] = str(oldest)
        st.rerun()


def _keep(name: str, value: str) -> None:
    if value:
        st.query_params[name] = value
    else:
        st.query_params.pop(name, None)
