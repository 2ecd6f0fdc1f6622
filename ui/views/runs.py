"""Runs: where each run stands."""

from __future__ import annotations

import streamlit as st

from dartifact.domain.errors import DartifactError
from dartifact.domain.runs import Phase
from ui import reads
from ui.format import ALL, PHASE_MARKS, choose, read_before, show_paging, tell_count, tell_error, tell_time

PAGE = 50


def show_runs() -> None:
    """Show runs with phase, gate, branch and reasons; filters and page are part of the URL."""
    left, right = st.columns(2)
    with left:
        phase = choose("Phase", [ALL, *(phase.value for phase in Phase)], "phase", every="all phases")
    with right:
        ingestor = choose("Ingestor", [ALL, *reads.name_ingestors()], "ingestor", every="all ingestors")
    only = ("" if phase == ALL else phase, "" if ingestor == ALL else ingestor)
    found = reads.list_runs(*only, read_before(), PAGE + 1)
    runs = found[:PAGE]
    if not runs:
        st.info("No runs match. Start one with `dartifact ingest SOURCE`.")
        return
    st.dataframe(
        [
            {
                "phase": f"{PHASE_MARKS[run['phase']]} {run['phase']}",
                "run": f"run?run={run['run_id']}",
                "gate": run["gate"] or "",
                "rows": run["rows"],
                "reason": "; ".join(run["reasons"]),
                "claimed (UTC)": tell_time(run["created_at"]),
                "window up to": tell_time(run["window"]["hi"]),
                "branch": run["branch"],
            }
            for run in runs
        ],
        hide_index=True,
        width="stretch",
        height=38 + 35 * min(len(runs), 15),
        column_config={
            "phase": st.column_config.TextColumn(width=95),
            "run": st.column_config.LinkColumn("run", display_text=r"run=(.*)$", width=250),
            "reason": st.column_config.TextColumn(width=400),
        },
    )
    show_paging(runs[-1]["window"]["seq"] if len(found) > PAGE else None)


@st.fragment(run_every=5)
def show_page() -> None:
    """Show the page, fresh every five seconds; a fault is said, not thrown."""
    try:
        counts = reads.count_phases()
        st.caption(" · ".join(f"{count:,} {phase}" for phase, count in counts.items()) or "no runs yet")
        gaps = reads.list_gaps()
        if gaps:
            with st.expander(f"{tell_count(len(gaps), 'gap')}: windows whose rows are missing from main"):
                st.dataframe(
                    [{**each, "lo": tell_time(each["lo"]), "hi": tell_time(each["hi"])} for each in gaps],
                    hide_index=True,
                    width="stretch",
                )
                st.caption(
                    "A gap closes when its run is fixed and merged, when `dartifact backfill` re-ingests it, "
                    "or when it is accepted: `dartifact accept-gap RUN --reason WHY`."
                )
        show_runs()
    except DartifactError as error:
        tell_error(error)


st.title("Runs")
show_page()
