"""What tests of pages share: a page opened at an address, and its buttons pressed."""

from __future__ import annotations

import re

import pandas as pd
from streamlit.testing.v1 import AppTest

from tests.conftest import PROJECT

VIEWS = PROJECT / "ui" / "views"
_APP = """
import streamlit as st

pages = {{name: st.Page(f"{views}/{{name}}.py", url_path=name, default=name == "{name}") for name in {names}}}
st.navigation(list(pages.values())).run()
"""


def open_page(name: str, **address: str) -> AppTest:
    """Run a page of `ui/views` with the parameters of its address; a traceback fails the test."""
    names = [each.stem for each in VIEWS.glob("*.py")]
    page = AppTest.from_string(_APP.format(views=VIEWS, name=name, names=names), default_timeout=60)
    for key, value in address.items():
        page.query_params[key] = value
    page.run()
    assert not page.exception
    return page


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
    return re.sub(r"\\(\W)", r"\1", "\n".join(str(each.value) for part in parts for each in part))
