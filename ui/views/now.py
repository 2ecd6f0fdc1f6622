"""Now: the information radiator; what stands, what runs, what waits for whom. `?kiosk=1` for a wall."""

from __future__ import annotations

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dartifact.documents.runs import RunDocument
from dartifact.domain.errors import DartifactError
from ui import now_reads
from ui.documents import NowDocument
from ui.format import PHASE_COLOURS, PHASE_MARKS, link, plain, tell_age, tell_ago, tell_count, tell_error
from ui.stack import is_prefect_up

MOST_STOPPED = 5


def show_stations(now: NowDocument) -> None:
    """Show queue, `main`, staging and production beside each other: a colour and a word each."""
    queue, main, staging, production = st.columns(4)
    show_station(
        queue,
        "Merge queue",
        "blue" if now["queue"] else "green",
        f"{now['queue']} waiting" if now["queue"] else "empty",
        f"{tell_count(len(now['running']), 'run')} in progress",
    )
    tested = now["main"]["tested"]
    moved = f"last change {tell_ago(now['main']['at'])}"
    show_station(
        main,
        "main",
        "gray" if not now["main"]["at"] else "green" if tested else "red",
        "no rows yet" if not now["main"]["at"] else "tested" if tested else "not tested",
        moved if tested else f"{now['main']['why']}, {moved}",
    )
    built = now["staging"]
    colours = {"red": "red", "bad": "red", "building": "blue"}
    word = built["state"] if built and built["state"] in colours else "green" if built else "nothing built"
    show_station(
        staging,
        "Staging",
        colours.get(built["state"], "green") if built else "gray",
        word,
        f"{built['dartifact']}, {tell_ago(built['created_at'])}" if built else "",
    )
    show_production(production, now)


def show_production(place: DeltaGenerator, now: NowDocument) -> None:
    """Show what production shows, how old its data is, and what moves or is frozen."""
    state, moves = now["production"], now["under_way"]
    if not state["live"]:
        show_station(place, "Production", "gray", "nothing live", "")
        return
    word = "frozen" if state["frozen"] else f"{moves['kind']} {moves['number']}/{moves['of']}" if moves else "live"
    colour = "orange" if state["frozen"] else "blue" if moves else "green"
    age = tell_ago(now["data_of"]).replace("ago", "old")
    note = f"{state['live']} on {state['active']}, data {age}"
    show_station(place, "Production", colour, word, note)


def show_station(place: DeltaGenerator, name: str, colour: str, word: str, note: str) -> None:
    """Show one station."""
    with place.container(border=True):
        st.caption(name)
        st.markdown(f"# :{colour}[{word}]")
        st.caption(note or " ")


def show_stopped(now: NowDocument) -> None:
    """Show what needs review: dartifacts that wait for approvals, runs that wait for a decision."""
    for dartifact in now["unapproved"]:
        label = f":orange[‖ {dartifact['given']} of {dartifact['needed']} approvals] {dartifact['dartifact']}"
        link(label, "dartifacts", dartifact=dartifact["dartifact"])
    if not now["stopped"] and not now["unapproved"]:
        st.markdown(":green[✓] Nothing needs review.")
    if not now["stopped"]:
        return
    count = now["counts"].get("failed", 0) + now["counts"].get("held", 0)
    st.markdown(f"#### :red[✗ {count} {'run needs' if count == 1 else 'runs need'} review]")
    for run in now["stopped"][:MOST_STOPPED]:
        why = run["reasons"][0] if run["reasons"] else "no reason recorded"
        show_run(run, f"{tell_ago(run['created_at'])} · {why}")
    if count > MOST_STOPPED:
        link(f"and {count - MOST_STOPPED} more", "runs", phase="failed")


def show_run(run: RunDocument, note: str) -> None:
    """Show one run with a link to its page, and what is to be said of it."""
    mark, colour = PHASE_MARKS[run["phase"]], PHASE_COLOURS[run["phase"]]
    link(f":{colour}[{mark} {run['phase']}] {run['run_id']}", "run", run=run["run_id"])
    st.caption(plain(note))


def show_strips(now: NowDocument) -> None:
    """Show the last runs of each ingestor, the newest to the right."""
    st.markdown("#### Recent runs by ingestor")
    for name, runs in now["strips"].items():
        marks = " ".join(f":{PHASE_COLOURS[each['phase']]}[{PHASE_MARKS[each['phase']]}]" for each in runs)
        last = (
            f"up to {runs[-1]['hi'][:16].replace('T', ' ')}, {runs[-1]['rows'] or 0:,} rows" if runs else "no runs yet"
        )
        left, middle, right = st.columns([1, 4, 2], vertical_alignment="center")
        with left:
            link(f"**{name}**", "runs", ingestor=name)
        middle.markdown(marks or "–")
        right.caption(last)
    used = {each["phase"] for runs in now["strips"].values() for each in runs}
    st.caption(" · ".join(f"{mark} {phase}" for phase, mark in PHASE_MARKS.items() if phase in used))


def show_running(now: NowDocument) -> None:
    """Show what is in progress, and gaps."""
    for run in now["running"]:
        show_run(run, f"running for {tell_ago(run['created_at']).removesuffix(' ago')}")
    if now["gaps"]:
        oldest = now["gaps"][0]
        st.markdown(
            f":orange[◌ {tell_count(len(now['gaps']), 'gap')}]: rows missing from main. Oldest: {oldest['source']}, "
            f"{tell_age(oldest['hi'] - oldest['lo'])} from {oldest['lo']:%Y-%m-%d %H:%M}"
        )


@st.fragment(run_every=5)
def show_page() -> None:
    """Show everything, fresh every five seconds."""
    try:
        now = now_reads.read_now()
    except DartifactError as error:
        tell_error(error)
        return
    for each in now["paused"]:
        st.error(f"‖ {plain(each)}")
    if now["production"]["frozen"]:
        st.warning(f"‖ Promotions are frozen until an operator allows them: {plain(now['production']['frozen'])}")
    if is_prefect_up() is False:
        st.warning("Prefect is unreachable: schedules are paused. Approvals and rollback still work.")
    show_stations(now)
    if not now["counts"]:
        st.info("No runs yet. Start one with `dartifact ingest SOURCE`, or try `dartifact demo`.")
        return
    left, right = st.columns([1, 1])
    with left:
        show_stopped(now)
        show_running(now)
    with right:
        show_strips(now)


show_page()
