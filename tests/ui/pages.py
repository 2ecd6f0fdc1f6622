"""What tests of pages share: a page opened at an address, and its buttons pressed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import pandas as pd
from streamlit.runtime.context import StreamlitHeaders
from streamlit.testing.v1 import AppTest

from tests.conftest import PROJECT
from tests.support.waiting import wait_until

VIEWS = PROJECT / "ui" / "views"
_APP = """
import streamlit as st

pages = {{name: st.Page(f"{views}/{{name}}.py", url_path=name, default=name == "{name}") for name in {names}}}
st.navigation(list(pages.values())).run()
"""


@dataclass(frozen=True)
class Visitor:
    """What a session knows of the browser that asks (`st.context`)."""

    headers: StreamlitHeaders
    ip_address: str | None

    @classmethod
    def of(cls, address: str | None, headers: Mapping[str, str | list[str]]) -> Self:
        """Make one of headers by name, `_` for `-`; a list is a header that comes more than once."""
        pairs = [
            (name.replace("_", "-"), value)
            for name, values in headers.items()
            for value in ([values] if isinstance(values, str) else values)
        ]
        return cls(StreamlitHeaders(pairs), address)


def open_page(name: str, **address: str) -> AppTest:
    """Run a page of `ui/views` with the parameters of its address; a traceback fails the test."""
    names = [each.stem for each in VIEWS.glob("*.py")]
    page = AppTest.from_string(_APP.format(views=VIEWS, name=name, names=names), default_timeout=60)
    for key, value in address.items():
        page.query_params[key] = value
    look_again(page.run())
    return page


def look_again(page: AppTest) -> None:
    """Run a page again while it says that something is computed, as it does by itself in a browser."""
    assert not page.exception

    def waits() -> bool:
        return any("hourglass" in each.value for each in page.markdown)

    wait_until(lambda: not waits() or (page.run() and not waits()))
    assert not page.exception


def press(page: AppTest, label: str) -> None:
    """Press the button whose label begins like this."""
    next(each for each in page.button if each.label.startswith(label)).click().run()
    assert not page.exception


def table(page: AppTest, column: str) -> pd.DataFrame:
    """Return the one table of a page that has a column."""
    [found] = [each.value for each in page.dataframe if column in each.value.columns]
    return found


def said(page: AppTest) -> str:
    """Return all texts of a page in one, as they are read: without the escapes of Markdown."""
    parts = (page.title, page.subheader, page.markdown, page.caption, page.info, page.warning, page.error, page.success)
    return re.sub(r"\\(\W)|\u2060", r"\1", "\n".join(str(each.value) for part in parts for each in part))
