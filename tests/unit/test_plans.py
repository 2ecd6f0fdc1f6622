"""The live pointer: every move of it, and what no sequence of moves may do."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from itertools import count, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dartifact.domain import plans
from dartifact.domain.errors import PolicyRefused, StalePointer
from dartifact.domain.plans import SLOTS, LivePointer, Plan, PlanKind, Slot, Step, StepKind

EMPTY = LivePointer()


def promoted(pointer: LivePointer, dartifact: str) -> LivePointer:
    """Carry out a promotion as `commands.production` does."""
    slot, plan = pointer.idle, f"p-{dartifact}"
    pointer = plans.claim(pointer, slot, dartifact, plan)
    pointer = plans.record(pointer, slot, f"c-{dartifact}-{pointer.generation}", plan)
    pointer = plans.shift(pointer, slot, 100, plan)
    return plans.settle(pointer, slot, plan)


ONE = promoted(EMPTY, "d1")
TWO = promoted(ONE, "d2")


# Plans


def steps(plan: Plan) -> list[str]:
    return [str(step) for step in plan.steps]


def test_the_first_promotion_takes_blue_and_shifts_as_the_policy_says() -> None:
    plan = plans.plan_promotion(EMPTY, "d1", plan_id="p1", weights=(5, 25, 100))
    assert (plan.kind, plan.dartifact, plan.slot) == ("promotion", "d1", "blue")
    assert steps(plan) == [
        "claim the idle slot blue",
        "publish to blue and record its commit",
        "smoke-test the commit on blue",
        "shift 5 % of the named consumers to blue",
        "shift 25 % of the named consumers to blue",
        "shift 100 % of the named consumers to blue",
        "settle blue",
        "publish production",
    ]


def test_each_share_is_watched_before_the_next_and_the_plan_says_for_how_long() -> None:
    plan = plans.plan_promotion(ONE, "d2", plan_id="p", weights=(5, 100), soak=300)
    assert steps(plan)[3:7] == [
        "shift 5 % of the named consumers to green",
        "soak green at 5 % for 300 s, then ask the traffic gate",
        "shift 100 % of the named consumers to green",
        "soak green at 100 % for 300 s, then ask the traffic gate",
    ]


def test_while_nothing_is_live_nobody_is_watched() -> None:
    plan = plans.plan_promotion(EMPTY, "d1", plan_id="p", weights=(5, 100), soak=300)
    assert StepKind.SOAK not in {step.kind for step in plan.steps}


@given(st.lists(st.integers(1, 100), min_size=1, unique=True), st.floats(0, 10**6), st.sampled_from([EMPTY, ONE, TWO]))
def test_a_promotion_is_claimed_smoked_shifted_upwards_and_settled_whatever_the_policy(
    shares: list[int], soak: float, pointer: LivePointer
) -> None:
    plan = plans.plan_promotion(pointer, "d", plan_id="p", weights=tuple(sorted(shares)), soak=soak)
    kinds = [step.kind for step in plan.steps]
    assert kinds[:3] == [StepKind.CLAIM, StepKind.PUBLISH, StepKind.SMOKE]
    assert kinds[-2:] == [StepKind.SETTLE, StepKind.PUBLISH_PRODUCTION]
    assert {step.slot for step in plan.steps} == {pointer.idle} != {pointer.active}
    shifts = [step.weight for step in plan.steps if step.kind is StepKind.SHIFT]
    assert shifts == sorted(shares)
    soaks = [(before.weight, step.weight) for before, step in pairwise(plan.steps) if step.kind is StepKind.SOAK]
    assert soaks == ([(share, share) for share in shifts] if soak > 0 and pointer.active else [])


def test_a_plan_that_was_written_before_there_were_soaks_can_be_read() -> None:
    value = plans.plan_promotion(ONE, "d2", plan_id="p").to_json()
    for step in value["steps"]:
        del step["seconds"]
    assert Plan.from_json(value) == plans.plan_promotion(ONE, "d2", plan_id="p")


def test_the_next_promotion_takes_the_other_slot() -> None:
    assert plans.plan_promotion(ONE, "d2", plan_id="p").slot == "green"
    assert plans.plan_promotion(TWO, "d3", plan_id="p").slot == "blue"


def test_a_rollback_to_what_a_slot_still_holds_only_settles() -> None:
    plan = plans.plan_rollback(TWO, "d1", plan_id="p")
    assert (plan.kind, plan.slot, steps(plan)) == ("rollback", "blue", ["settle blue", "publish production"])


def test_a_rollback_to_something_older_publishes_and_smokes_it_first() -> None:
    plan = plans.plan_rollback(TWO, "d0", plan_id="p")
    assert plan.slot == TWO.idle == "blue"
    assert [step.kind for step in plan.steps] == [
        StepKind.CLAIM,
        StepKind.PUBLISH,
        StepKind.SMOKE,
        StepKind.SETTLE,
        StepKind.PUBLISH_PRODUCTION,
    ]


def test_a_slot_that_was_claimed_but_never_published_is_not_warm() -> None:
    claimed = plans.claim(ONE, "green", "d0", "p")
    assert plans.plan_rollback(claimed, "d0", plan_id="q").steps[0].kind is StepKind.CLAIM


# Moves


def test_a_promotion_moves_the_pointer_once_per_step() -> None:
    pointer = plans.claim(ONE, "green", "d2", "p")
    assert (pointer.plan, pointer.slots["green"]) == ("p", Slot("d2"))
    pointer = plans.record(pointer, "green", "c2", "p")
    assert pointer.slots["green"] == Slot("d2", "c2")
    assert pointer.live == "d1"
    pointer = plans.shift(pointer, "green", 25, "p")
    assert pointer.weights == {"blue": 75, "green": 25}
    assert (pointer.live, pointer.active, pointer.idle) == ("d1", "blue", "green")
    pointer = plans.settle(pointer, "green", "p")
    assert (pointer.live, pointer.active, pointer.settled, pointer.plan) == ("d2", "green", "c2", None)
    assert pointer.weights == {"blue": 0, "green": 100}
    assert pointer.slots["blue"].dartifact == "d1"
    assert pointer.generation == ONE.generation + 4


@pytest.mark.parametrize(
    ("pointer", "slot"),
    [
        (ONE, "blue"),
        (replace(ONE, weights={"blue": 0, "green": 100}), "blue"),
        (plans.claim(ONE, "green", "d2", "p"), "green"),
        (replace(ONE, weights={"blue": 90, "green": 10}), "green"),
    ],
    ids=["the active slot", "the active slot without consumers", "another plan holds it", "consumers read it"],
)
def test_a_slot_in_use_cannot_be_claimed(pointer: LivePointer, slot: str) -> None:
    with pytest.raises(StalePointer):
        plans.claim(pointer, slot, "d9", "q")


def test_consumers_are_not_sent_to_a_slot_that_shows_nothing() -> None:
    claimed = plans.claim(ONE, "green", "d2", "p")
    with pytest.raises(StalePointer, match="slot green has nothing to serve"):
        plans.shift(claimed, "green", 5, "p")
    with pytest.raises(StalePointer, match="slot green has nothing to serve"):
        plans.settle(claimed, "green", "p")
    with pytest.raises(StalePointer, match="slot green has nothing to serve"):
        plans.roll_back(claimed, "green", frozen=None)


PLANNED: dict[str, Callable[[LivePointer], LivePointer]] = {
    "record": lambda pointer: plans.record(pointer, "green", "c9", "p"),
    "shift": lambda pointer: plans.shift(pointer, "green", 5, "p"),
    "settle": lambda pointer: plans.settle(pointer, "green", "p"),
    "abandon": lambda pointer: plans.abandon(pointer, "green", "p"),
}


@pytest.mark.parametrize("move", PLANNED.values(), ids=PLANNED)
def test_a_plan_that_no_longer_holds_the_pointer_cannot_move_it(move: Callable[[LivePointer], LivePointer]) -> None:
    holding = plans.record(plans.claim(ONE, "green", "d2", "p"), "green", "c2", "p")
    assert move(holding).generation == holding.generation + 1
    with pytest.raises(StalePointer, match="plan p no longer holds the live pointer"):
        move(plans.roll_back(holding, "blue", frozen=None))
    with pytest.raises(StalePointer, match="plan p no longer holds the live pointer"):
        move(replace(holding, plan="other"))


def test_an_abandoned_promotion_leaves_production_as_it_was() -> None:
    shifted = plans.shift(plans.record(plans.claim(ONE, "green", "d2", "p"), "green", "c2", "p"), "green", 25, "p")
    assert plans.abandon(shifted, "green", "p") == replace(ONE, generation=ONE.generation + 4)


def test_abandoning_the_first_promotion_leaves_nothing_live() -> None:
    pointer = plans.abandon(plans.claim(EMPTY, "blue", "d1", "p"), "blue", "p")
    assert pointer == replace(EMPTY, generation=2)


def test_a_rollback_sends_everybody_back_in_one_move() -> None:
    back = plans.roll_back(TWO, "blue", frozen="why")
    assert (back.live, back.weights, back.frozen) == ("d1", {"blue": 100, "green": 0}, "why")
    assert back.generation == TWO.generation + 1


def test_a_promotion_that_a_person_aborts_leaves_production_as_it_was_and_is_not_begun_again() -> None:
    shifted = plans.shift(plans.record(plans.claim(ONE, "green", "d2", "p"), "green", "c2", "p"), "green", 25, "p")
    assert plans.abort(shifted, "green", "p", reason="why") == replace(ONE, generation=ONE.generation + 4, frozen="why")


def test_while_promotions_are_frozen_no_traffic_moves() -> None:
    frozen = plans.freeze(plans.record(plans.claim(ONE, "green", "d2", "p"), "green", "c2", "p"), "why")
    with pytest.raises(PolicyRefused, match="why"):
        plans.shift(frozen, "green", 5, "p")
    with pytest.raises(PolicyRefused, match="why"):
        plans.settle(frozen, "green", "p")


@given(st.data())
def test_what_is_recovered_is_all_that_is_served(data: st.DataObject) -> None:
    pointer, slot = data.draw(st.sampled_from([ONE, TWO])), data.draw(st.sampled_from(SLOTS))
    found = plans.recover(pointer, slot, Slot("d0", "c0"), frozen="why")
    assert (found.live, found.active, found.settled, found.plan, found.frozen) == ("d0", slot, "c0", None, "why")
    assert {plans.choose_slot(found, name) for name in CONSUMERS[:20]} == {slot}
    assert found.slots[found.idle] == Slot()
    assert found.generation == pointer.generation + 1


def test_freezing_and_allowing_again_changes_nothing_else() -> None:
    frozen = plans.freeze(TWO, "why")
    assert frozen == replace(TWO, generation=TWO.generation + 1, frozen="why")
    assert plans.freeze(frozen, None) == replace(TWO, generation=TWO.generation + 2)


# Consumers

CONSUMERS = tuple(f"consumer-{number}" for number in range(200))


def test_before_the_first_promotion_no_consumer_has_a_slot() -> None:
    assert plans.choose_slot(EMPTY, "dashboard") is None


def test_a_consumer_is_sent_by_the_hash_of_its_name() -> None:
    share = int(hashlib.sha256(b"dashboard").hexdigest()[:16], 16) / 2**64 * 100
    assert 1 < share < 99
    below, above = (replace(ONE, weights={"blue": 100 - w, "green": w}) for w in (int(share), int(share) + 1))
    assert (plans.choose_slot(below, "dashboard"), plans.choose_slot(above, "dashboard")) == ("blue", "green")


def test_a_share_of_a_quarter_sends_about_a_quarter() -> None:
    pointer = replace(ONE, weights={"blue": 75, "green": 25})
    assert 40 <= sum(plans.choose_slot(pointer, name) == "green" for name in CONSUMERS) <= 60


@given(st.lists(st.integers(0, 100), min_size=2, max_size=8), st.text(max_size=20))
def test_raising_a_weight_never_sends_a_consumer_back(weights: list[int], consumer: str) -> None:
    seen = [
        plans.choose_slot(replace(ONE, weights={"blue": 100 - weight, "green": weight}), consumer)
        for weight in (0, *sorted(weights), 100)
    ]
    assert (seen[0], seen[-1]) == ("blue", "green")
    assert all(not (before == "green" and after == "blue") for before, after in pairwise(seen))


@given(st.lists(st.lists(st.integers(0, 100), max_size=4), min_size=1, max_size=6), st.text(max_size=20))
def test_no_consumer_goes_back_to_an_older_dartifact_in_promotion_after_promotion(
    shares: list[list[int]], consumer: str
) -> None:
    pointer, read = promoted(EMPTY, "d000"), ["d000"]
    for number, weights in enumerate(shares, start=1):
        slot, plan, name = pointer.idle, f"p{number}", f"d{number:03}"
        pointer = plans.record(plans.claim(pointer, slot, name, plan), slot, f"c{number}", plan)
        for weight in (*sorted(weights), 100):
            pointer = plans.shift(pointer, slot, weight, plan)
            read.append(pointer.slots[plans.choose_slot(pointer, consumer) or ""].dartifact or "")
        pointer = plans.settle(pointer, slot, plan)
        read.append(pointer.slots[plans.choose_slot(pointer, consumer) or ""].dartifact or "")
        assert read[-1] == name
    assert read == sorted(read)


@given(st.text(max_size=20), st.integers(0, 100))
def test_an_aborted_promotion_sends_each_consumer_to_what_is_live(consumer: str, weight: int) -> None:
    shifted = plans.record(plans.claim(ONE, "green", "d2", "p"), "green", "c2", "p")
    shifted = plans.shift(shifted, "green", weight, "p")
    for ended in (plans.abandon(shifted, "green", "p"), plans.abort(shifted, "green", "p", reason="why")):
        assert plans.choose_slot(ended, consumer) == "blue"


@given(st.text(max_size=20))
def test_settling_moves_no_consumer(consumer: str) -> None:
    shifted = plans.record(plans.claim(ONE, "green", "d2", "p"), "green", "c2", "p")
    shifted = plans.shift(shifted, "green", 100, "p")
    assert plans.choose_slot(plans.settle(shifted, "green", "p"), consumer) == plans.choose_slot(shifted, consumer)


# Whatever is done in whatever order

_MOVES = ("claim", "record", "shift", "settle", "abandon", "abort", "roll_back", "freeze", "allow")
moves = st.lists(
    st.tuples(st.sampled_from(_MOVES), st.sampled_from(SLOTS), st.integers(0, 100), st.booleans()), max_size=40
)


def play(sequence: list[tuple[str, str, int, bool]]) -> list[tuple[str, LivePointer, LivePointer]]:
    """Apply moves, leaving out the refused ones; half of the planned moves come from a plan that is over.

    A plan moves the slot that it claimed, as its steps say; a rollback serves any slot.
    """
    pointer, numbers, history, mine = EMPTY, count(1), [], "blue"
    for name, slot, weight, is_stale in sequence:
        plan = "over" if is_stale else pointer.plan or "none"
        number = next(numbers)
        try:
            match name:
                case "claim":
                    new = plans.claim(pointer, slot, f"d{number}", f"p{number}")
                    mine = slot
                case "record":
                    new = plans.record(pointer, mine, f"c{number}", plan)
                case "shift":
                    new = plans.shift(pointer, mine, weight, plan)
                case "settle":
                    new = plans.settle(pointer, mine, plan)
                case "abandon":
                    new = plans.abandon(pointer, mine, plan)
                case "abort":
                    new = plans.abort(pointer, mine, plan, reason="why")
                case "roll_back":
                    new = plans.roll_back(pointer, slot, frozen="why" if is_stale else None)
                case _:
                    new = plans.freeze(pointer, "why" if name == "freeze" else None)
        except (StalePointer, PolicyRefused):
            continue
        history.append((name, pointer, new))
        pointer = new
    return history


@given(moves)
def test_each_move_makes_exactly_the_next_generation(sequence: list[tuple[str, str, int, bool]]) -> None:
    assert [new.generation for _, _, new in play(sequence)] == list(range(1, len(play(sequence)) + 1))


@given(moves)
def test_weights_are_shares_that_add_up(sequence: list[tuple[str, str, int, bool]]) -> None:
    for _, _, pointer in play(sequence):
        assert all(0 <= weight <= 100 for weight in pointer.weights.values())
        assert sum(pointer.weights.values()) == (100 if any(pointer.weights.values()) else 0)
        assert pointer.active is None or sum(pointer.weights.values()) == 100


@given(moves)
def test_without_a_plan_all_consumers_read_the_active_slot(sequence: list[tuple[str, str, int, bool]]) -> None:
    for _, _, pointer in play(sequence):
        if pointer.plan is None and pointer.active is not None:
            assert pointer.weights[pointer.active] == 100


@given(moves)
def test_the_active_slot_is_never_claimed_nor_emptied(sequence: list[tuple[str, str, int, bool]]) -> None:
    for name, before, after in play(sequence):
        if before.active is not None and name not in ("settle", "roll_back"):
            assert after.active == before.active
            assert after.slots[before.active] == before.slots[before.active]


@given(moves)
def test_a_plan_begins_only_where_none_is_and_ends_by_its_own_moves_or_a_rollback(
    sequence: list[tuple[str, str, int, bool]],
) -> None:
    for name, before, after in play(sequence):
        if before.plan != after.plan:
            assert None in (before.plan, after.plan)
            assert name == "claim" if before.plan is None else name in ("settle", "abandon", "abort", "roll_back")


@given(moves)
def test_what_is_settled_is_always_shown_by_a_slot(sequence: list[tuple[str, str, int, bool]]) -> None:
    for _, _, pointer in play(sequence):
        assert (pointer.settled is None) == (pointer.active is None) == (pointer.live is None)


@given(moves)
def test_while_frozen_nothing_moves_towards_a_slot(sequence: list[tuple[str, str, int, bool]]) -> None:
    for name, before, _ in play(sequence):
        assert before.frozen is None or name not in ("shift", "settle")


@given(moves, st.sampled_from(SLOTS))
def test_a_rollback_always_wins(sequence: list[tuple[str, str, int, bool]], slot: str) -> None:
    history = play(sequence)
    pointer = history[-1][2] if history else EMPTY
    if pointer.slots[slot].commit is None:
        with pytest.raises(StalePointer):
            plans.roll_back(pointer, slot, frozen=None)
        return
    back = plans.roll_back(pointer, slot, frozen="why")
    assert (back.settled, back.plan, back.frozen) == (pointer.slots[slot].commit, None, "why")
    assert back.weights[slot] == 100
    assert {plans.choose_slot(back, name) for name in CONSUMERS[:20]} == {slot}
    stopped = pointer.plan or "p"
    for move in (
        lambda: plans.record(back, back.idle, "c", stopped),
        lambda: plans.shift(back, back.idle, 100, stopped),
        lambda: plans.settle(back, back.idle, stopped),
        lambda: plans.abandon(back, back.idle, stopped),
    ):
        with pytest.raises(StalePointer):
            move()


@given(moves)
def test_a_pointer_survives_json(sequence: list[tuple[str, str, int, bool]]) -> None:
    for _, _, pointer in play(sequence):
        assert LivePointer.from_json(json.loads(json.dumps(pointer.to_json()))) == pointer


def test_the_sequences_of_moves_go_all_the_way() -> None:
    sequence = [("claim", "blue", 0, False), ("record", "blue", 0, False), ("settle", "blue", 0, False)]
    assert [name for name, _, _ in play(sequence * 2)] == ["claim", "record", "settle"]
    green = [(name, "green", weight, stale) for name, _, weight, stale in sequence]
    assert play(sequence + green)[-1][2].active == "green"


step = st.builds(
    Step, st.sampled_from(StepKind), st.sampled_from(SLOTS), st.integers(0, 100), st.floats(0, allow_infinity=False)
)


KINDS = st.sampled_from(PlanKind)


@given(st.builds(Plan, st.text(), KINDS, st.text(), st.sampled_from(SLOTS), st.lists(step).map(tuple)))
def test_a_plan_survives_json(plan: Plan) -> None:
    assert Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan
