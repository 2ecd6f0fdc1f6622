"""Activity: who did what, when and why."""

from __future__ import annotations

import csv
import io
from typing import Any

import streamlit as st

from flows.domain.errors import DartifactError
from ui import reads
from ui.format import ask_filter, read_before, show_paging, tell_error, tell_time

PAGE = 200
EXPORTED = 100_000


def pack(events: list[dict[str, Any]]) -> str:
    """Return events as CSV."""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(events[0]) if events else ["sequence"])
    writer.writeheader()
    writer.writerows(events)
    return out.getvalue()


def show_page() -> None:
    """Show the events of the ledger, newest first; filters and page are part of the URL."""
    st.title("Activity")
    left, right = st.columns(2)
    with left:
        kind = ask_filter("Event", "event")
    with right:
        actor = ask_filter("Who", "who")
    try:
        events = reads.list_events(kind, actor, read_before(), PAGE + 1)
    except DartifactError as error:
        tell_error(error)
        return
    shown = events[:PAGE]
    if not shown:
        st.info("Nothing of that has happened.")
    else:
        st.dataframe(
            [
                {
                    "at (UTC)": tell_time(each["at"]),
                    "who": each["actor"],
                    "event": each["type"],
                    "run": f"run?run={each['run']}" if each["run"] else "",
                    "dartifact": each["dartifact"],
                    "why": each["why"],
                }
                for each in shown
            ],
            hide_index=True,
            width="stretch",
            height=600,
            column_config={"run": st.column_config.LinkColumn("run", display_text=r"run=(.*)$")},
        )
    if shown:
        st.download_button(
            "Export as CSV",
            lambda: pack(reads.list_events(kind, actor, None, EXPORTED)),
            "activity.csv",
            "text/csv",
            on_click="ignore",
            help=f"the newest {EXPORTED:,} that the filter lets through",
        )
    show_paging(shown[-1]["sequence"] if len(events) > PAGE else None)


show_page()
