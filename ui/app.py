"""The browser UI: pages of `ui/views`; served by `dartifact ui` and `dartifact up`."""

from __future__ import annotations

import logging
from pathlib import Path

import streamlit as st

from dartifact.domain.errors import DartifactError
from ui import people
from ui.format import set_style, tell_error

PAGES = (
    ("now", "Now"),
    ("runs", "Runs"),
    ("run", "Run"),
    ("dartifacts", "Dartifacts"),
    ("production", "Production"),
    ("activity", "Activity"),
)

ICON = Path(__file__).with_name("icon.svg")  # a file: Streamlit's own icons come from another host


def show_app() -> None:
    """Show the page of the address to who may see it."""
    st.set_page_config(page_title="dartifact", page_icon=str(ICON), layout="wide")
    kiosk = st.query_params.get("kiosk") == "1"
    set_style(kiosk=kiosk)
    pages = [st.Page(f"views/{name}.py", title=title, url_path=name, default=name == "now") for name, title in PAGES]
    page = st.navigation(pages, position="hidden" if kiosk else "top")
    try:
        person = people.who()
    except DartifactError as error:
        show_sign_in(error)
        return
    try:
        page.run()
    except Exception:  # a bug: its traceback belongs in the log, not on the page
        logging.getLogger("dartifact.ui").exception("the page %s", page.title)
        st.error("Something went wrong. Details are in `logs/ui.log`; every action is also available in the CLI.")
    if not kiosk:
        shared = (
            "" if people.can_be_told_apart() else " Sign-in is off: everyone who opens this page acts as this user."
        )
        st.caption(f"You are {person.actor}, {person.role}. Times are UTC.{shared}")
        if people.can_sign_out() and st.button("Sign out"):
            st.logout()


def show_sign_in(refusal: DartifactError) -> None:
    """Offer to sign in, or say why nobody is known."""
    st.title("dartifact")
    if not people.can_sign_in():
        tell_error(refusal)
        return
    st.write("Sign in to see runs, dartifacts and production.")
    if st.button("Sign in", type="primary"):
        try:
            st.login()
        except Exception as error:  # noqa: BLE001  (Streamlit raises what its secrets lack)
            st.error(f"Sign-in is not configured: {error} (see the documentation, Let people sign in)")


show_app()
