"""Values inside sentences: shown as they are, or hidden without a guess at what in a sentence is a value."""

from hypothesis import given
from hypothesis import strategies as st

from dartifact.domain.errors import UsageError
from dartifact.domain.marks import HIDDEN, hide_in_check, hide_values, mark, show_values
from dartifact.domain.texts import first_line, fit_line

_HOSTILE = st.text(st.characters() | st.sampled_from("\u2068\u2069'\": ,.\n"), max_size=20)


@given(_HOSTILE, _HOSTILE)
def test_no_part_of_a_value_is_left_when_values_are_hidden(first: str, second: str) -> None:
    sentence = f"3 rows, e.g. {mark(f'<{first}>')} and {mark(f'<{second}>')} (allowed: 0)"
    assert hide_values(sentence) == f"3 rows, e.g. {HIDDEN} and {HIDDEN} (allowed: 0)"


@given(st.text(st.characters(exclude_characters="\u2068\u2069"), max_size=20))
def test_a_value_is_shown_as_it_is(value: str) -> None:
    assert show_values(f"e.g. {mark(value)}!") == f"e.g. {value}!"


def test_a_value_that_was_cut_in_the_middle_is_hidden_to_the_end() -> None:
    assert hide_values(f"e.g. {mark('ann@example.org')}"[:12]) == f"e.g. {HIDDEN}"


def test_what_another_program_says_is_a_value() -> None:
    error = ValueError("Could not convert string 'Ann Victim' to INT32\nLINE 1: ...")
    assert hide_values(f"customers: could not be checked: {first_line(error)}") == (
        f"customers: could not be checked: {HIDDEN}"
    )
    assert hide_values(fit_line("Ann Victim", 60)) == HIDDEN


def test_an_error_shows_its_values_as_text_and_keeps_them_marked_in_its_message() -> None:
    error = UsageError(f"e.g. {mark('ann')}")
    assert str(error) == "e.g. ann"
    assert hide_values(error.message) == f"e.g. {HIDDEN}"


def test_the_name_of_a_check_of_one_value_is_cut_before_the_value() -> None:
    assert hide_in_check("customers.drift.name.vanished.Ann Victim") == f"customers.drift.name.vanished.{HIDDEN}"
    assert hide_in_check("customers.drift.name.nulls") == "customers.drift.name.nulls"
