"""What tests of pages share: a page opened at an address, and its buttons pressed."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest

from tests.conftest import PROJECT

VIEWS = PROJECT / "ui" / "views"


def open_page(name: str, **address: str) -> AppTest:
    """Run a page of `ui/views` with the parameters of its address; a traceback fails the test."""
    page = AppTest.from_file(str(VIEWS / f"{name}.py"), default_timeout=60)
    for key, value in address.items():
        page.query_params[key] = value
    page.run()
    assert not page.exception
    return page


def press(page: AppTest, label: str) -> None:
    """Press the button whose label begins like this."""
    next(each for each in page.button if each.label.startswith(label)).click().run()
    assert not page.exception


def said(page: AppTest) -> str:
    """Return all texts of a page in one."""
    parts = (page.title, page.subheader, page.markdown, page.caption, page.info, page.warning, page.error, page.success)
    return "\n".join(str(each.value) for part in parts for each in part)
