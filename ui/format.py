"""How the pages say things: marks and words for states, ages, errors, and what became of an action."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import streamlit as st

from flows.compare.report import DiffReport
from flows.domain.errors import DartifactError

PHASE_MARKS = {
    "extracting": "▸", "checking": "▸", "failed": "✗", "held": "‖", "queued": "…", "merged": "✓", "live": "●",
    "reverted": "↩", "rejected": "⊘", "empty": "·",
}  # fmt: skip
PHASE_COLOURS = {
    "extracting": "blue", "checking": "blue", "failed": "red", "held": "orange", "queued": "blue", "merged": "green",
    "live": "green", "reverted": "orange", "rejected": "red", "empty": "gray",
}  # fmt: skip
OUTCOME_MARKS = {"passed": "✓", "warned": "!", "failed": "✗", "skipped": "–", "errored": "?"}
_SAID = "said"
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+!|~$:<>])")
T = TypeVar("T")
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


def tell_time(time: datetime | str | None) -> str:
    """Write a time to the second, UTC; nothing for None."""
    if time is None:
        return ""
    return f"{datetime.fromisoformat(time) if isinstance(time, str) else time:%Y-%m-%d %H:%M:%S}"


def tell_error(error: DartifactError) -> None:
    """Show an error with what can be done about it."""
    st.error(plain(error.message + (f" (try: {error.hint})" if error.hint else "")))


def plain(text: str) -> str:
    """Return a text, of a source or a person, so that Markdown shows it as it is: no links, pictures or colours."""
    return _MARKDOWN.sub(r"\\\1", text)


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


def show_said() -> None:
    """Say once what the last action did."""
    if said := st.session_state.pop(_SAID, None):
        st.success(said)


def show_row_counts(report: DiffReport) -> None:
    """Show how many rows a diff adds, removes, changes and leaves."""
    rows = report.rows
    st.markdown(f"Rows: **{rows.added:,}** added · **{rows.removed:,}** removed · **{rows.changed:,}** changed · "
                f"**{rows.unchanged:,}** unchanged")  # fmt: skip


def show_changed_columns(report: DiffReport, hidden: Collection[str] = ()) -> None:
    """Show a line for each column that a diff changes, the most changed first; without values of hidden columns."""
    changed = [each for each in report.columns if each.changed]
    if changed:
        st.dataframe(
            [
                {
                    "column": each.name,
                    "changed": each.changed,
                    "share": f"{each.share:.2%}",
                    "mean change": f"{each.shift.mean_change:+g}" if each.shift and each.name not in hidden else "",
                    "e.g.": "hidden"
                    if each.name in hidden
                    else f"{each.examples[0].base} → {each.examples[0].candidate}"
                    if each.examples
                    else "",
                }
                for each in sorted(changed, key=lambda each: -each.changed)
            ],
            hide_index=True,
            width="stretch",
        )


def tell_ago(time: str | None) -> str:
    """Say how long ago a time was; `never` for None."""
    return f"{tell_age(datetime.now(UTC) - datetime.fromisoformat(time))} ago" if time else "never"


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
        ".block-container {padding-top: 4.2rem; padding-bottom: 1rem}",
        "h1 {font-size: 1.7rem !important; padding: 0 0 .3rem !important}",
    ]
    if kiosk:
        rules += [
            "header, footer {display: none !important}",
            ".block-container {padding-top: 1rem}",
            "html {font-size: 22px}",
        ]
    st.html(f"<style>{' '.join(rules)}</style>")


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
