"""The HTML page of a diff: complete in itself, safe whatever the data hold, and put together for every reader."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from dartifact.compare.diff.rendering.html import ShownCell, ShownRow, ShownTable, render_html
from dartifact.compare.diff.report import Example, Renamed, Retyped, SchemaDiff, ThreeWay
from tests.support.diff_reports import HOSTILE, make_column, make_report

_VOID = {"meta", "br"}


class Page(HTMLParser):
    """Reads a page: its elements with their attributes, and its text; every element has to be closed in its place."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in _VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] != "style":
            self.words.append(data)

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def make_table(name: str, text: str) -> ShownTable:
    """Make a table in which every name and value is the text."""
    report = make_report(
        make_column(text, 500, Example(text, text, None)),
        table=name,
        base=text,
        candidate=text,
        key=(text,),
        schema=SchemaDiff((text,), (text,), (Retyped(text, text, text),), (text,), (Renamed(text, text),)),
        three_way=ThreeWay(1, 2, 3, (text,)),
    )
    kinds = (("added", None, text), ("removed", text, None), ("changed", text, ""))
    rows = [ShownRow(text, kind, (ShownCell(text, base, candidate),), 3) for kind, base, candidate in kinds]
    return ShownTable(report, (*rows, ShownRow("k", "added", ())))


@pytest.mark.parametrize("text", [*HOSTILE, "plain"], ids=range(7))
def test_text_of_the_data_is_neither_element_nor_attribute(text: str) -> None:
    page = Page(render_html([make_table(text, text), make_table("b", text)]))
    plain = Page(render_html([make_table("x", "x"), make_table("b", "x")]))
    assert [element for element, _ in page.elements] == [element for element, _ in plain.elements]
    assert [set(attributes) for _, attributes in page.elements] == [set(attributes) for _, attributes in plain.elements]
    assert "".join(page.words).isprintable() or "\n" in "".join(page.words)
    assert "\x1b" not in "".join(page.words)


def test_the_page_loads_nothing_and_forbids_to() -> None:
    text = render_html([make_table("orders", "v"), make_table("stock", "v")])
    assert not re.search(r"https?:|src=|url\(|@import|<script|<link", text)
    page = Page(text)
    assert {attributes["href"] for attributes in page.named("a")} == {"#t0", "#t1", "#tables"}
    (policy,) = [each["content"] for each in page.named("meta") if each.get("http-equiv") == "Content-Security-Policy"]
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"


def test_every_link_has_its_aim_and_no_two_parts_bear_one_id() -> None:
    page = Page(render_html([make_table("orders", "v"), make_table("stock", "v")]))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len({*ids})
    aims = [str(attributes["href"])[1:] for attributes in page.named("a")]
    aims += [str(each["aria-labelledby"]) for _, each in page.elements if "aria-labelledby" in each]
    assert {*aims} <= {*ids}


def test_the_page_has_a_language_landmarks_one_first_heading_and_heads_that_say_what_they_head() -> None:
    page = Page(render_html([make_table("orders", "v"), make_table("stock", "v")]))
    assert page.named("html")[0]["lang"] == "en"
    assert [len(page.named(tag)) for tag in ("header", "main", "nav", "h1", "section")] == [1, 1, 1, 1, 2]
    assert all(attributes.get("scope") in ("col", "row", "rowgroup") for attributes in page.named("th"))
    assert len(page.named("caption")) == len(page.named("table"))
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_the_most_changed_table_comes_first_and_one_table_needs_no_list() -> None:
    few, many = ShownTable(make_report(table="few", added=1), ()), ShownTable(make_report(table="many", added=9), ())
    words = Page(render_html([few, many])).words
    assert words.index("many") < words.index("few")
    assert Page(render_html([few])).named("nav") == []


def test_rows_that_are_left_out_are_told() -> None:
    report = make_report(table="t", added=1000)
    row = ShownRow("1", "added", (ShownCell("v", None, "x"),), 7)
    words = " ".join(Page(render_html([ShownTable(report, (row,))])).words)
    assert "The first 1 of 1,000 differing rows" in words
    assert "and 7 more columns" in words
