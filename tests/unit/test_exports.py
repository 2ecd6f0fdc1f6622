"""CSV for spreadsheets: no cell is a formula, and what comes back is what went out."""

from __future__ import annotations

import csv
import io
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ui.exports import defuse, defuse_table, restore, restore_rows, write_csv_text

TEXTS = st.text(st.sampled_from("'=+-@\t\r19.,eE ab"), max_size=6)


@pytest.mark.parametrize(
    "text", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "+", "-", "=", "--1"]
)
def test_a_formula_becomes_text(text: str) -> None:
    assert defuse(text) == f"'{text}"


@pytest.mark.parametrize(
    "text", ["-5", "+49", "-1.5", "-1,5", "-.5", "-1e-7", "5", "", "a=b", "a@example.com", "'quoted'"]
)
def test_numbers_and_plain_texts_stay(text: str) -> None:
    assert defuse(text) == text


@given(TEXTS)
def test_no_cell_begins_as_a_formula_does_and_each_comes_back(text: str) -> None:
    out = defuse(text)
    assert restore(out) == text
    if out[:1] in "=+-@\t\r" and out:
        float(out.replace(",", "."))  # a number


def test_rows_and_tables_are_defused_cell_by_cell() -> None:
    rows = [{"=name": "=1+1", "n": -5, "t": "-5", "none": None}, {"=name": "b", "n": 2, "t": "@x", "none": None}]
    read = list(csv.reader(io.StringIO(write_csv_text(rows))))
    assert read == [["'=name", "n", "t", "none"], ["'=1+1", "-5", "-5", ""], ["b", "2", "'@x", ""]]
    assert write_csv_text([]).strip() == ""
    table = pa.table({"a": ["=1", None, "x"], "n": pa.array([Decimal("-1.0")] * 3)})
    defused = defuse_table(table)
    assert (defused["a"].to_pylist(), defused["n"]) == (["'=1", None, "x"], table["n"])
    assert restore_rows([{"a": "'=1", "n": None}]) == [{"a": "=1", "n": None}]
