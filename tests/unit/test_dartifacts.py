"""The states of a dartifact, its identity, and what it may not contain."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dartifact.domain.dartifacts import (
    TRANSITIONS,
    Blame,
    BlameKind,
    Cause,
    Dartifact,
    DartifactState,
    check_transition,
    dartifact_id,
    find_blamed,
    fingerprint,
)
from dartifact.domain.errors import IllegalTransition

S = DartifactState
ENTRIES = [("raw/orders/r1/part-0.parquet", "aa"), ("raw/orders/r2/part-0.parquet", "bb"), ("x", "cc")]


def test_every_state_has_its_row_and_can_be_reached_from_building() -> None:
    found, waiting = {S.BUILDING}, [S.BUILDING]
    while waiting:
        new = TRANSITIONS[waiting.pop()] - found
        found |= new
        waiting += new
    assert found == set(TRANSITIONS) == set(S)


def test_only_bad_is_an_end() -> None:
    assert {state for state, new in TRANSITIONS.items() if not new} == {S.BAD}


def test_a_dartifact_becomes_live_only_when_it_was_approved_or_served_before() -> None:
    assert {old for old, new in TRANSITIONS.items() if S.LIVE in new} == {S.APPROVED, S.SUPERSEDED}


def test_a_red_dartifact_can_only_be_built_again() -> None:
    assert TRANSITIONS[S.RED] == {S.BUILDING}


@pytest.mark.parametrize("old", S)
@pytest.mark.parametrize("new", S)
def test_check_transition_refuses_exactly_what_the_table_does_not_list(old: S, new: S) -> None:
    if new in TRANSITIONS[old]:
        check_transition("d1", old, new)
    else:
        with pytest.raises(IllegalTransition):
            check_transition("d1", old, new)


def test_a_refused_transition_names_the_dartifact_and_what_is_allowed() -> None:
    with pytest.raises(IllegalTransition) as caught:
        check_transition("d1", S.GREEN, S.LIVE)
    assert caught.value.message == "dartifact d1 is green; it can become approved, bad, superseded, not live"
    with pytest.raises(IllegalTransition, match="d1 is bad; it can become nothing, not live"):
        check_transition("d1", S.BAD, S.LIVE)


@given(st.permutations(ENTRIES))
def test_a_fingerprint_does_not_depend_on_the_order(entries: list[tuple[str, str]]) -> None:
    assert fingerprint(entries) == "195aecbf40536093b7dbfa3a06e37732ddbb383d0a43e2aa2e2dedaeb80c43d7"


@given(st.sets(st.tuples(st.text("ab/\n", max_size=4), st.text("01", max_size=4)), max_size=4),
       st.sets(st.tuples(st.text("ab/\n", max_size=4), st.text("01", max_size=4)), max_size=4))  # fmt: skip
def test_different_content_has_a_different_fingerprint(one: set[tuple[str, str]], other: set[tuple[str, str]]) -> None:
    assert (fingerprint(one) == fingerprint(other)) == (one == other)


def test_the_same_inputs_give_the_same_dartifact_for_ever() -> None:
    assert dartifact_id("raw", "code", {"data": "full"}) == "db2214ea5d9f1"
    assert dartifact_id("raw", "code", {"a": "1", "b": "2"}) == dartifact_id("raw", "code", {"b": "2", "a": "1"})


def test_each_input_changes_the_dartifact() -> None:
    ids = [
        dartifact_id("raw", "code", {"data": "full"}),
        dartifact_id("raw2", "code", {"data": "full"}),
        dartifact_id("raw", "code2", {"data": "full"}),
        dartifact_id("raw", "code", {"data": "sampled"}),
        dartifact_id("raw", "code", {}),
        dartifact_id("code", "raw", {"data": "full"}),
        dartifact_id("rawcode", "", {"data": "full"}),
    ]
    assert len(set(ids)) == len(ids)
    assert all(len(each) == 13 and each.startswith("d") for each in ids)


DARTIFACT = Dartifact("d1", 1, S.GREEN, "code-1", "main-1", ("r1", "r2"), datetime(2021, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("blame", "found"),
    [
        (Blame(BlameKind.RUN, "r1"), ("run r1",)),
        (Blame(BlameKind.RUN, "r3"), ()),
        (Blame(BlameKind.CODE, "code-1"), ("code code-1",)),
        (Blame(BlameKind.CODE, "code-2"), ()),
        (Blame(BlameKind.RUN, "code-1"), ()),
        (Blame(BlameKind.CODE, "r1"), ()),
    ],
)
def test_a_dartifact_is_refused_for_a_blamed_run_or_code_it_holds(blame: Blame, found: tuple[str, ...]) -> None:
    assert find_blamed(DARTIFACT, [blame]) == found


def test_all_blames_are_named_in_their_order() -> None:
    blames = [
        Blame(BlameKind.RUN, "r2"),
        Blame(BlameKind.RUN, "r9"),
        Blame(BlameKind.CODE, "code-1"),
        Blame(BlameKind.RUN, "r1"),
    ]
    assert find_blamed(DARTIFACT, blames) == ("run r2", "code code-1", "run r1")


def test_a_dartifact_without_the_blamed_run_is_free() -> None:
    assert find_blamed(replace(DARTIFACT, runs=("r2",)), [Blame(BlameKind.RUN, "r1")]) == ()


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        ([], Cause()),
        (["unknown"], Cause(unknown=True)),
        (["code", "runs"], Cause(every_run=True, code=True)),
        (["r2", "code", "r1", "unknown"], Cause(("r2", "r1"), code=True, unknown=True)),
    ],
)
def test_what_a_person_names_as_the_cause_is_read_once(words: list[str], cause: Cause) -> None:
    assert Cause.parse(words) == cause
