"""How the pages say things: marks and words for states, ages, errors, and what became of an action."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import streamlit as st

from dartifact.domain.errors import DartifactError
from dartifact.domain.hints import Command
from ui.masks import reveal

PHASE_MARKS = {
    "extracting": "▸",
    "checking": "▸",
    "failed": "✗",
    "held": "‖",
    "queued": "…",
    "merged": "✓",
    "live": "●",
    "reverted": "↩",
    "rejected": "⊘",
    "empty": "·",
}
PHASE_COLOURS = {
    "extracting": "blue",
    "checking": "blue",
    "failed": "red",
    "held": "orange",
    "queued": "blue",
    "merged": "green",
    "live": "green",
    "reverted": "orange",
    "rejected": "red",
    "empty": "gray",
}
OUTCOME_MARKS = {"passed": "✓", "warned": "!", "failed": "✗", "skipped": "–", "errored": "?"}
ALL = "all"
_SAID, _SHOWN = "said", "said and shown"
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+!|~$:<>])")
# Markdown makes links of these by themselves, and takes a backslash in them for nothing.
_ADDRESS = re.compile(r"\b(https?|ftp|mailto|xmpp|www)(?=[:.])", re.IGNORECASE)
_JOINER = "\u2060"  # is not seen, and is not part of an address
T = TypeVar("T")
RECORDED = "recorded in the activity log"
_DARTIFACT = re.compile(r"d[0-9a-f]{12}")
_ABOUT_ONE = {"show", "fix", "recheck", "approve", "reject"}
_STATIONS = {"integrate", "stage"}
_PRODUCTION = ("Production", "production")
_PAGES = {
    "status": ("Now", "now"),
    "runs": ("Runs", "runs"),
    **dict.fromkeys(("promote", "abort", "rollback", "unfreeze"), _PRODUCTION),
}
_VIEWS = Path(__file__).resolve().parent / "views"


def tell_age(age: timedelta) -> str:
    """Say how long something takes or is ago, in the two units that matter."""
    seconds = max(0, int(age.total_seconds()))
    days, hours, minutes = seconds // 86400, seconds // 3600 % 24, seconds // 60 % 60
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds % 60} s" if minutes else f"{seconds} s"


def tell_duration(duration: timedelta) -> str:
    """Say how long a step took: tenths of a second count where it was quick."""
    seconds = duration.total_seconds()
    return f"{seconds:.1f} s" if seconds < 10 else tell_age(duration)


def tell_time(time: datetime | str | None) -> str:
    """Write a time to the second, UTC; nothing for None."""
    if time is None:
        return ""
    return f"{datetime.fromisoformat(time) if isinstance(time, str) else time:%Y-%m-%d %H:%M:%S}"


def tell_error(error: DartifactError) -> None:
    """Show an error with what can be done about it: a page where one helps, else the words of the hint."""
    verbs = [part for part in error.hint.parts if isinstance(part, Command)]
    pages = [page for verb in verbs if (page := _find_page(verb))]
    if verbs and len(pages) == len(verbs):
        st.error(plain(error.message))
        for title, name, query in pages:
            link(title, name, **query)
    elif verbs and all(verb.name in _STATIONS for verb in verbs):
        st.error(plain(f"{error.message} (the stations continue by themselves within a minute)"))
    else:
        st.error(plain(error.message + (f" (try: {error.hint})" if error.hint else "")))


def _find_page(verb: Command) -> tuple[str, str, dict[str, str]] | None:
    """Return the title, name and query of the page that does what a verb does; None where no page does."""
    name = verb.arguments.split(" ")[0]
    if verb.name in _ABOUT_ONE and name:
        if _DARTIFACT.fullmatch(name):
            return f"Dartifact {name}", "dartifacts", {"dartifact": name}
        return f"Run {name}", "run", {"run": name}
    if verb.name in _PAGES:
        return *_PAGES[verb.name], {}
    return None


def plain(text: str) -> str:
    """Return a text, of a source or a person, so that Markdown shows it as it is: no links, pictures or colours.

    Values of the data in it that are marked are shown to those only who may see personal columns.
    """
    return _MARKDOWN.sub(r"\\\1", _ADDRESS.sub(rf"\1{_JOINER}", reveal(text)))


def recall_shown(name: str, now: T) -> T:
    """Return what this session was shown last under a name, and note what it is shown now.

    A button that was pressed is about the former: between the two somebody else may have acted.
    """
    key = f"shown {name}"
    before: T = st.session_state.get(key, now)
    st.session_state[key] = now
    return before


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


@st.fragment(run_every=0.5)
def show_waiting(what: str, ask: Callable[[], object]) -> None:
    """Say what is under way, and show the page anew once `ask` answers, or says why it does not."""
    try:
        is_done = ask() is not None
    except DartifactError:
        is_done = True
    if is_done:
        st.session_state[_SAID] = st.session_state.get(_SHOWN)  # nobody has pressed anything: it is still the answer
        st.rerun()
    st.markdown(f":material/hourglass_top: {what} …")


def show_said() -> None:
    """Say what the last action did, until the person does something else."""
    st.session_state[_SHOWN] = said = st.session_state.pop(_SAID, None)
    if said:
        st.success(said)


def tell_ago(time: str | None) -> str:
    """Say how long ago a time was; `never` for None."""
    return f"{tell_age(datetime.now(UTC) - datetime.fromisoformat(time))} ago" if time else "never"


def tell_count(number: int, noun: str) -> str:
    """Write how many there are of what, in singular or plural."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def link(label: str, page: str, **query: str) -> None:
    """Show a link to a page of the UI, which opens without loading everything anew."""
    st.page_link(str(_VIEWS / f"{page}.py"), label=label, query_params=query)


def list_some(names: Sequence[str], most: int = 3) -> str:
    """Name the first ones, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def set_style(*, kiosk: bool) -> None:
    """Give the page the room that Streamlit leaves empty; a kiosk has big letters and nothing around them."""
    rules = [
        ".block-container {padding: 4rem max(1rem, 2vw) 1rem}",
        "h1 {font-size: 1.5rem !important; padding: 0 0 1rem !important}",
        "h2, h3 {font-size: 1.2rem !important; padding: .2rem 0 .6rem !important}",
        "[data-testid=stVerticalBlock] {gap: .6rem}",
    ]
    if kiosk:
        rules += [
            "header, footer {display: none !important}",
            ".block-container {padding-top: 1rem}",
            "html {font-size: 22px}",
            "h1 {font-size: 3rem !important}",
        ]
    st.html(f"<style>{' '.join(rules)}</style>")


def choose(label: str, options: Sequence[str], name: str, *, every: str = "") -> str:
    """Let one option be chosen; the choice is part of the URL, and begins with the newest page.

    What the URL asks for is kept, though it is no option: what reads it says that there is none. With `every`, which
    stands for the option ALL, the label is only read to the blind.
    """
    asked = st.query_params.get(name)
    options = [*options, asked] if asked and asked not in options else options
    return str(
        st.selectbox(
            label,
            options,
            key=name,
            bind="query-params",
            format_func=lambda option: every if every and option == ALL else option,
            label_visibility="collapsed" if every else "visible",
            on_change=_begin_anew,
        )
    )


def _begin_anew() -> None:
    st.query_params.pop("before", None)


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
