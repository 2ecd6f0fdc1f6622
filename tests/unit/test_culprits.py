"""The search for who turned a dartifact red finds the guilty one, with as few builds as halving needs."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, log2

from hypothesis import given
from hypothesis import strategies as st

from dartifact.domain.culprits import ChangeKind, Culprit, CulpritKind, Probe, RunChange, find_culprit, list_changes


def arrivals(count: int) -> tuple[RunChange, ...]:
    return tuple(RunChange(f"run-{number}", ChangeKind.ARRIVED) for number in range(count))


def play(
    changes: tuple[RunChange, ...], is_green: Callable[[Probe], bool], *, has_new_code: bool = False
) -> tuple[Culprit, list[Probe]]:
    """Build what is asked for until somebody is named; return who, and what was built."""
    answers: dict[Probe, bool] = {}
    while isinstance(found := find_culprit("dgood", changes, answers, has_new_code=has_new_code), Probe):
        assert found not in answers, "the same build twice"
        answers[found] = is_green(found)
    return found, list(answers)


@given(st.data(), st.integers(1, 300), st.booleans())
def test_the_one_bad_run_is_always_found_within_the_builds_that_halving_needs(
    data: st.DataObject, count: int, has_new_code: bool
) -> None:
    bad = data.draw(st.integers(0, count - 1))
    changes = arrivals(count)
    found, built = play(changes, lambda probe: probe.changes <= bad, has_new_code=has_new_code)
    assert (found.kind, found.run_id) == (CulpritKind.DATA, f"run-{bad}")
    assert found.probes == len(built) <= ceil(log2(count)) + 1
    assert f"run-{bad} is included" in found.reason


@given(st.sets(st.integers(0, 40), min_size=1), st.integers(41, 60))
def test_of_several_bad_runs_one_is_found(bad: set[int], count: int) -> None:
    found, _ = play(arrivals(count), lambda probe: not any(each < probe.changes for each in bad))
    assert found.run_id in {f"run-{number}" for number in bad}


@given(st.lists(st.booleans(), min_size=1, max_size=40))
def test_whatever_the_builds_answer_the_search_ends_at_a_green_neighbour_of_a_red_build(greens: list[bool]) -> None:
    greens = [True, *greens[1:], False]
    found, _ = play(arrivals(len(greens) - 1), lambda probe: greens[probe.changes])
    number = int((found.run_id or "").removeprefix("run-"))
    assert greens[number]
    assert not greens[number + 1]


def test_new_code_that_is_red_on_good_data_is_the_culprit() -> None:
    found, built = play(arrivals(9), lambda probe: probe.good_code, has_new_code=True)
    assert (found.kind, found.run_id) == (CulpritKind.CODE, None)
    assert built == [Probe(), Probe(good_code=True)]
    assert "on the data of dgood" in found.reason
    assert "2 probe builds" in found.reason


def test_new_code_without_new_data_needs_only_to_see_the_old_code_green() -> None:
    found, built = play((), lambda probe: probe.good_code, has_new_code=True)
    assert found.kind is CulpritKind.CODE
    assert built == [Probe(good_code=True)]


def test_new_code_is_not_blamed_when_the_old_code_is_red_by_now_too() -> None:
    found, _ = play(arrivals(3), lambda _: False, has_new_code=True)
    assert found.kind is CulpritKind.UNKNOWN
    assert "dgood was green and is red when rebuilt" in found.reason


def test_the_same_code_that_is_red_on_the_data_it_was_green_on_tells_nothing() -> None:
    found, built = play(arrivals(3), lambda _: False)
    assert (found.kind, built) == (CulpritKind.UNKNOWN, [Probe()])
    assert play((), lambda _: True)[0].kind is CulpritKind.UNKNOWN


def test_a_run_whose_leaving_turns_the_build_red_is_named_as_a_removal() -> None:
    changes = (RunChange("gone", ChangeKind.LEFT), *arrivals(4))
    found, _ = play(changes, lambda probe: probe.changes == 0)
    assert (found.kind, found.run_id) == (CulpritKind.REMOVAL, "gone")
    assert "taken out of main" in found.reason


def test_changes_are_who_left_then_who_came_or_brought_other_rows_by_claiming_order() -> None:
    before = {"a": "1", "b": "1", "c": "1"}
    now = {"f": "1", "d": "1", "c": "2", "b": "1", "e": "1"}
    changes = list_changes(before, now, {"a": 1, "b": 2, "c": 3, "d": 5, "e": 4})
    assert [(each.run_id, each.kind.value) for each in changes] == [
        ("a", "left"),
        ("c", "replaced"),
        ("e", "arrived"),
        ("d", "arrived"),
        ("f", "arrived"),
    ]
