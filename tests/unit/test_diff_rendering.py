"""What text and Markdown say of diff reports, and what they hold to whatever the data are."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dartifact.cli.text.diff import stream_documents
from dartifact.compare.diff.rendering.lines import make_printable, measure, shorten, shorten_pair, wrap
from dartifact.compare.diff.rendering.markdown import render_markdown
from dartifact.compare.diff.rendering.text import WIDTH, render_text
from dartifact.compare.diff.rendering.words import tell_share, tell_unchanged
from dartifact.compare.diff.report import NO_TABLES, DiffReport, Example, Renamed, Retyped, SchemaDiff, Shift, ThreeWay
from tests.support.diff_reports import HOSTILE, make_column, make_report

GITHUB = 65_536
WIDE = "表の名前" * 40
LONG = "a_very_long_name_" * 30
COMBINED = "e\u0301\u0327" * 200
NUMBER = "-12345678901234567890123456.123456789012"


def columns_of(line: str) -> int:
    """Return the columns of a terminal, counted in another way than the product counts them."""
    shown = [char for char in line if not unicodedata.combining(char)]
    return sum(2 if unicodedata.east_asian_width(char) in ("W", "F") else 1 for char in shown)


def make_broad(name: str, value: str, columns: int = 3) -> DiffReport:
    """Make a report in which every name and value is one of these."""
    shift = Shift(1e300, -1e300, -2e300, -1.234567e300, 1.234567e300)
    names = [f"{name}{n}" for n in range(columns)]
    example = Example(value, value, value + "!")
    return make_report(
        *(make_column(each, n % 1000 + 1, example, shift=shift) for n, each in enumerate(names)),
        table=name,
        base=name,
        candidate=value,
        key=tuple(names),
        key_origin="suggested",
        scope="touched",
        schema=SchemaDiff(
            tuple(names),
            tuple(names),
            tuple(Retyped(each, value, value) for each in names),
            tuple(names),
            tuple(Renamed(each, each) for each in names),
        ),
        three_way=ThreeWay(10**9, 10**9, 10**9, (value, value)),
    )


# Text


@pytest.mark.parametrize("name", [WIDE, LONG, COMBINED, "x " * 200, *HOSTILE], ids=range(10))
@pytest.mark.parametrize("tables", [1, 3])
def test_no_line_of_text_is_wider_than_a_terminal_nor_moves_its_cursor(name: str, tables: int) -> None:
    told = render_text([make_broad(name, name, 50)] * tables)
    assert max(columns_of(line) for line in told.split("\n")) <= WIDTH
    assert all(line.isprintable() for line in told.split("\n"))


def test_a_number_is_told_with_all_its_digits_whatever_stands_beside_it() -> None:
    report = make_report(make_column("v", 1, Example(NUMBER, NUMBER, NUMBER[:-1] + "9")))
    told = re.sub(r"\n +", " ", render_text([report]))
    assert f"{NUMBER}: {NUMBER} → {NUMBER[:-1]}9" in told


def test_long_text_is_shortened_where_its_sides_are_alike() -> None:
    base = "same " * 50
    report = make_report(make_column("v", 1, Example("1", f"{base}old{base}", f"{base}new{base}")))
    shown = render_text([report])
    assert "old" in shown
    assert "new" in shown


def test_several_tables_are_told_in_one_table_first() -> None:
    reports = [make_report(table="orders", added=1200), make_report(table="stock")]
    assert render_text(reports).splitlines()[:5] == [
        "2 tables: 1 different, 1 same",
        "                     added  removed  changed",
        "  orders  different  1,200        0        0",
        "  stock   same           0        0        0",
        "",
    ]


def test_what_is_unchanged_is_said_of_the_columns_of_both_sides_only() -> None:
    column = make_column(changed=0)
    told = "1,000 unchanged"
    assert tell_unchanged(make_report(column)) == told
    for schema in (SchemaDiff(added=("w",)), SchemaDiff(removed=("w",))):
        assert tell_unchanged(make_report(column, schema=schema)) == f"{told} in the columns that both sides have"
    disjoint = make_report(schema=SchemaDiff(added=("w",), removed=("v",)))
    assert tell_unchanged(disjoint) == f"{told} (only keys were compared)"
    assert "only keys were compared" in render_markdown([disjoint])


def test_a_share_is_told_as_all_or_nothing_only_where_it_is() -> None:
    assert [tell_share(share) for share in (0, 1e-6, 0.5, 1 - 1e-6, 1)] == [
        "0.00%", "<0.01%", "50.00%", ">99.99%", "100.00%",
    ]  # fmt: skip


# Lines


@given(st.text(), st.integers(4, 90))
def test_shortening_and_wrapping_keep_to_the_width(text: str, width: int) -> None:
    shown = make_printable(text)
    assert measure(shorten("x" + shown, width)) <= width
    lines = wrap(shown, width, first="> ", rest=".. ")
    assert max(map(measure, lines)) <= width
    kept = "".join([lines[0][2:], *(line[3:] for line in lines[1:])])
    assert kept.replace(" ", "") == shown.replace(" ", "")


@given(st.text(min_size=1), st.text(min_size=1), st.text(), st.integers(8, 40))
def test_two_different_texts_are_shortened_to_different_ones(common: str, old: str, new: str, width: int) -> None:
    pair = make_printable(common * 50 + "a" + old), make_printable(common * 50 + "b" + new)
    short = shorten_pair(*pair, width)
    assert short[0] != short[1]
    assert max(map(measure, short)) <= width


# Markdown


def test_markdown_of_very_many_and_wide_tables_fits_a_comment_and_says_what_is_left_out() -> None:
    tables = [make_broad(f"table {n} {'|`@' * 40}", HOSTILE[n % len(HOSTILE)] * 9, 20) for n in range(3)]
    columns = tuple(make_column(f"column {n}", 1 + n % 999) for n in range(2000))
    reports = [make_report(*columns, table=f"mart_{n}", added=n) for n in range(300)]
    told = render_markdown([*reports, *tables])
    assert len(told) < GITHUB
    assert told.startswith("**303 tables: 303 different, 0 same**")
    assert told.index("`mart_299`") < told.index("`mart_298`")
    assert re.search(r"\nand \d+ more tables: see `--output html` or `json`$", told)
    assert "and 1,980 more columns" in told


@pytest.mark.parametrize("text", [*HOSTILE, "`" * 500, "|" * 500, WIDE, COMBINED], ids=range(10))
def test_one_report_fits_a_comment_whatever_it_holds(text: str) -> None:
    told = render_markdown([make_broad(text * 50, text * 50, 3000)])
    assert len(told) < GITHUB
    assert "more tables" not in told
    assert "column" in told


@pytest.mark.parametrize("text", HOSTILE)
def test_text_of_the_data_is_no_markup(text: str) -> None:
    told = render_markdown([make_broad(text, text), make_broad("t", text)])
    outside = drop_code_spans(told)
    assert not re.search(r"[<@\[\x1b]|octocat|https?:|www\.|script|#1\b", outside), outside
    assert outside.count("\n") == drop_code_spans(render_markdown([make_broad("n", "x"), make_broad("t", "x")])).count(
        "\n"
    )


def drop_code_spans(markdown: str) -> str:
    """Take the code spans out, as CommonMark finds them: between two runs of as many backticks."""
    return re.sub(r"(?<!`)(`+)(?!`)(.*?)(?<!`)\1(?!`)", "", markdown)


@given(st.text())
def test_rows_of_a_markdown_table_keep_their_cells(text: str) -> None:
    report = make_report(make_column(text, 1, Example(text, text, text)), table=text)
    for line in render_markdown([report, report]).split("\n"):
        if line.startswith("|"):
            assert len(re.findall(r"(?<!\\)\|", line)) in (5, 7, 8)


# The stream of JSON


def test_the_stream_is_one_document_and_tells_each_table_as_soon_as_it_is_known() -> None:
    reports = [make_report(table="a"), make_report(make_column(), table="b\n\u20ac"), make_report(table="c")]
    told: list[str] = []
    seen: list[str] = []

    def compare_each() -> Iterator[DiffReport]:
        for report in reports:
            seen.append("".join(told))
            yield report

    for piece in stream_documents(compare_each(), NO_TABLES):
        told.append(piece + "\n")
    assert ['"table": "a"' in text for text in seen] == [False, True, True]
    document = json.loads("".join(told))
    assert list(document) == ["schema_version", "tables", "tables_added", "tables_removed", "same"]
    assert document["same"] is False
    assert [DiffReport.from_json(each) for each in document["tables"]] == reports
