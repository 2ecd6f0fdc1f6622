"""Runs: where each run stands."""

from __future__ import annotations

import streamlit as st

from flows.domain.errors import DartifactError
from flows.domain.runs import Phase
from ui import reads
from ui.format import PHASE_MARKS, ask_filter, read_before, show_paging, tell_error, tell_time

PAGE = 50


def show_runs() -> None:
    """Show runs with phase, gate, branch and reasons; filters and page are part of the URL."""
    known = [phase.value for phase in Phase]
    asked = st.query_params.get("phase", "")
    left, right = st.columns(2)
    chosen = left.selectbox("Phase", ["all", *known], index=known.index(asked) + 1 if asked in known else 0)
    phase = "" if chosen == "all" else chosen
    if phase != asked:
        st.query_params.pop("before", None)
    st.query_params["phase"] = phase
    with right:
        ingestor = ask_filter("Ingestor", "ingestor")
    found = reads.list_runs(phase, ingestor, read_before(), PAGE + 1)
    runs = found[:PAGE]
    if not runs:
        st.info("No runs here. `dartifact ingest orders` brings one.")
        return
    st.dataframe(
        [
            {
                "": PHASE_MARKS.get(run["phase"], "▸"),
                "run": f"run?run={run['run_id']}",
                "phase": run["phase"],
                "gate": run["gate"] or "",
                "rows": run["rows"],
                "why": "; ".join(run["reasons"]),
                "claimed (UTC)": tell_time(run["created_at"]),
                "window up to": tell_time(run["window"]["hi"]),
                "branch": run["branch"],
            }
            for run in runs
        ],
        hide_index=True,
        width="stretch",
        column_config={"run": st.column_config.LinkColumn("run", display_text=r"run=(.*)$")},
    )
    show_paging(runs[-1]["window"]["seq"] if len(found) > PAGE else None)


@st.fragment(run_every=5)
def show_page() -> None:
    """Show the page, fresh every five seconds; a fault is said, not thrown."""
    try:
        counts = reads.count_phases()
        st.caption(" · ".join(f"{count:,} {phase}" for phase, count in counts.items()) or "no runs yet")
        holes = reads.list_holes()
        if holes:
            with st.expander(f"{len(holes)} holes: windows whose rows are missing from main"):
                st.dataframe(holes, hide_index=True, width="stretch")
        show_runs()
    except DartifactError as error:
        tell_error(error)


st.title("Runs")
show_page()
