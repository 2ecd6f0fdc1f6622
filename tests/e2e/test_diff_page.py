"""The HTML page of a diff in a real browser."""

from __future__ import annotations

from pathlib import Path

from dartifact.compare.diff.rendering.html import ShownCell, ShownRow, ShownTable, render_html
from dartifact.compare.diff.report import Example
from tests.support.browser import running_browser
from tests.support.diff_reports import HOSTILE, make_column, make_report


def make_page() -> str:
    text = "".join(HOSTILE) + "a_long_word" * 30
    report = make_report(make_column(text, 500, Example(text, text, None)), table=text, base="f0" * 32, candidate=text)
    rows = tuple(ShownRow(text, "changed", (ShownCell(text, text, "x"),), 1) for _ in range(30))
    return render_html([ShownTable(report, rows), ShownTable(make_report(table="same"), ())])


def test_the_page_asks_for_nothing_runs_nothing_and_is_as_wide_as_the_screen(tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text(make_page(), encoding="utf-8")
    backs = set()
    with running_browser() as browser:
        for scheme in ("light", "dark"):
            for width in (360, 1200):
                page = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 800})  # type: ignore[arg-type]
                told: list[str] = []
                page.on("request", lambda request, told=told: told.append(request.url))  # type: ignore[misc]
                page.on("console", lambda message, told=told: told.append(message.text))  # type: ignore[misc]
                page.on("dialog", lambda dialog, told=told: told.append(dialog.message))  # type: ignore[misc]
                page.goto(file.as_uri())
                page.get_by_role("link", name="same", exact=True).click()
                assert told == [file.as_uri()]
                assert page.evaluate("document.documentElement.scrollWidth") == width
                backs.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
                page.close()
    assert len(backs) == 2
