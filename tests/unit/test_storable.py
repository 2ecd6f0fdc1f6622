"""What every database can keep."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dartifact.domain.storable import clean_json, clean_text, cut_text, read_number, shorten_name

ANY_TEXT = st.text(st.characters(exclude_categories=()))  # with NUL and halves of characters
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=10,
)


@given(ANY_TEXT)
def test_a_clean_text_can_be_sent_anywhere_and_stays_clean(text: str) -> None:
    clean = clean_text(text)
    assert "\x00" not in clean
    assert clean.encode("utf-8").decode("utf-8") == clean == clean_text(clean)
    assert len(clean) == len(text)


def test_what_was_clean_is_left_alone() -> None:
    assert clean_text("größer\n\u2068x\u2069 🙂") == "größer\n\u2068x\u2069 🙂"
    assert clean_text("a\x00b\ud800") == "a␀b?"


@given(ANY_JSON)
def test_clean_json_is_json_and_reads_back_as_itself(value: object) -> None:
    clean = clean_json(value)
    text = json.dumps(clean, allow_nan=False)
    assert "\\u0000" not in text
    assert json.loads(text) == clean == clean_json(clean)


@pytest.mark.parametrize(("number", "word"), [(math.nan, "NaN"), (math.inf, "Infinity"), (-math.inf, "-Infinity")])
def test_a_number_that_is_not_finite_is_a_word_and_read_back(number: float, word: str) -> None:
    assert clean_json({"measured": [number]}) == {"measured": [word]}
    assert repr(read_number(word)) == repr(number)


def test_whole_numbers_stay_exact() -> None:
    assert clean_json(2**53 + 1) == read_number(2**53 + 1) == 2**53 + 1


def test_a_text_is_cut_and_says_so() -> None:
    assert cut_text("x" * 20, 20) == "x" * 20
    assert cut_text("x" * 21, 20) == "x" * 19 + "…"


def test_long_names_that_differ_at_their_end_stay_different() -> None:
    one, other = shorten_name("x" * 400 + "1", 300), shorten_name("x" * 400 + "2", 300)
    assert len(one) == len(other) == 300
    assert one != other
    assert one == shorten_name("x" * 400 + "1", 300)
    assert shorten_name("x" * 300, 300) == "x" * 300
