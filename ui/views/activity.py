"""Activity: who did what, when, why and from where."""

from __future__ import annotations

import streamlit as st

from dartifact.domain.errors import DartifactError
from ui import reads
from ui.format import ALL, choose, read_before, show_paging, tell_error, tell_time

PAGE = 200
EXPORTED = 100_000


def show_events() -> None:
    """Show the events of the ledger, newest first; filters and page are part of the URL."""
    left, right = st.columns(2)
    with left:
        kind = choose("Event", [ALL, *reads.name_events("type")], "event", every="all events")
    with right:
        actor = choose("Actor", [ALL, *reads.name_events("actor")], "who", every="all actors")
    only = ("" if kind == ALL else kind, "" if actor == ALL else actor)
    events = reads.list_events(*only, read_before(), PAGE + 1)
    shown = events[:PAGE]
    if not shown:
        st.info("No matching events.")
        return
    st.dataframe(
        [
            {
                "time (UTC)": tell_time(each["at"]),
                "actor": each["actor"],
                "event": each["type"],
                "run": f"run?run={each['run']}" if each["run"] else "",
                "dartifact": f"dartifacts?dartifact={each['dartifact']}" if each["dartifact"] else "",
                "reason": each["why"],
                "origin": each["place"],
            }
            for each in shown
        ],
        hide_index=True,
        width="stretch",
        height=600,
        column_config={
            "run": st.column_config.LinkColumn("run", display_text=r"run=(.*)$"),
            "event": st.column_config.TextColumn(width=150),
            "dartifact": st.column_config.LinkColumn("dartifact", display_text=r"dartifact=(.*)$", width=120),
            "reason": st.column_config.TextColumn(width="large"),
        },
    )
    st.download_button(
        "Export as CSV",
        reads.prepare_events(*only, EXPORTED),
        "activity.csv",
        "text/csv",
        on_click="ignore",
        help=f"Exports the newest {EXPORTED:,} matching events",
    )
    show_paging(shown[-1]["sequence"] if len(events) > PAGE else None)


def show_page() -> None:
    """Show the page; a fault is said, not thrown."""
    st.title("Activity")
    try:
        show_events()
    except DartifactError as error:
        tell_error(error)


show_page()
