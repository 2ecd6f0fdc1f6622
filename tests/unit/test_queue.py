"""What goes into one candidate, who is guilty when it is red, what it may change."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from math import ceil, log2

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dartifact.domain.checks import Gate, Outcome, Report, Result
from dartifact.domain.queue import (
    HEAD_FENCE,
    CandidatePlan,
    find_culprits,
    find_foreign,
    find_suspects,
    find_waiting,
    plan_candidate,
    runs_in,
    split,
)
from dartifact.domain.runs import Phase, Run
from dartifact.domain.windows import Window

NOON = datetime(2021, 1, 1, 12, tzinfo=UTC)


def run(seq: int, phase: Phase = Phase.QUEUED, ingestor: str = "dan") -> Run:
    return Run(f"r{seq}", "orders", ingestor, 100 + seq, Window(seq, "orders", 0, NOON, NOON), phase, NOON)


queues = st.lists(st.sampled_from(["dan", "dave", "dana", "dora"]), max_size=40).map(
    lambda owners: [run(seq, ingestor=owner) for seq, owner in enumerate(owners, start=1)]
)


def names(plan: CandidatePlan) -> tuple[list[str], list[str]]:
    return [each.run_id for each in plan.lands], [each.run_id for each in plan.reverts]


def test_queued_runs_land_in_the_order_they_were_claimed() -> None:
    assert names(plan_candidate([run(3), run(1), run(2)], [], 16)) == (["r1", "r2", "r3"], [])


def test_reverts_come_first_and_count_against_the_size() -> None:
    plan = plan_candidate([run(1), run(2), run(3)], [run(9), run(8)], 4)
    assert names(plan) == (["r1", "r2"], ["r8", "r9"])


def test_more_reverts_than_the_size_leave_no_place_for_runs() -> None:
    assert names(plan_candidate([run(1)], [run(9), run(8), run(7)], 2)) == ([], ["r7", "r8"])


def test_an_empty_queue_is_an_empty_batch() -> None:
    assert not plan_candidate([], [], 16)
    assert plan_candidate([run(1)], [], 16)
    assert plan_candidate([], [run(1)], 16)


def test_a_batch_names_its_runs_and_the_folders_it_may_change() -> None:
    plan = CandidatePlan((run(1),), (run(9),))
    assert plan.run_ids == ("r1", "r9")
    assert plan.folders == ("raw/orders/r1/", "raw/orders/r9/")


@given(queued=st.sets(st.integers(0, 50)), reverts=st.sets(st.integers(51, 80)), size=st.integers(1, 20))
def test_taking_batches_until_nothing_waits_takes_every_run_once(
    queued: set[int], reverts: set[int], size: int
) -> None:
    waiting, out, taken = {n: run(n) for n in queued}, {n: run(n) for n in reverts}, []
    while plan := plan_candidate(waiting.values(), out.values(), size):
        assert len(plan.run_ids) <= size
        taken += plan.run_ids
        for each in (*plan.lands, *plan.reverts):
            waiting.pop(each.window.seq, None)
            out.pop(each.window.seq, None)
    assert sorted(taken) == sorted(f"r{n}" for n in queued | reverts)


def test_a_backlog_leaves_a_place_for_each_other_ingestor() -> None:
    backlog = [run(seq) for seq in range(1, 30)]
    plan = plan_candidate([*backlog, run(30, ingestor="dave"), run(31, ingestor="dana")], [], 4)
    assert names(plan) == (["r1", "r2", "r30", "r31"], [])


def test_ingestors_take_turns_until_one_has_nothing_left() -> None:
    queued = [run(1), run(2), run(3), run(4), run(5, ingestor="dave"), run(6, ingestor="dave"), run(7, ingestor="dana")]
    assert names(plan_candidate(queued, [], 5)) == (["r1", "r2", "r5", "r6", "r7"], [])
    assert names(plan_candidate(queued, [], 2)) == (["r1", "r5"], [])


@given(queued=queues, size=st.integers(1, 20), seed=st.randoms())
def test_batches_are_fair_keep_each_ingestors_order_and_lose_nothing(
    queued: list[Run], size: int, seed: object
) -> None:
    waiting = list(queued)
    seed.shuffle(waiting)  # type: ignore[attr-defined]
    taken: list[Run] = []
    while plan := plan_candidate(waiting, [], size):
        owners = {each.ingestor for each in waiting}
        served = [each.ingestor for each in plan.lands]
        if size >= len(owners):
            assert set(served) == owners
        more = {owner: sum(each.ingestor == owner for each in waiting) - served.count(owner) for owner in owners}
        most = max(served.count(owner) for owner in owners)
        assert all(not more[owner] or served.count(owner) >= most - 1 for owner in owners)
        taken += plan.lands
        waiting = [each for each in waiting if each not in plan.lands]
    assert sorted(each.window.seq for each in taken) == [each.window.seq for each in queued]
    for owner in {each.ingestor for each in queued}:
        assert [each for each in taken if each.ingestor == owner] == [each for each in queued if each.ingestor == owner]


# In order


@pytest.mark.parametrize("phase", Phase)
def test_a_later_run_waits_unless_the_earlier_one_is_in_main_or_never_will_be(phase: Phase) -> None:
    earlier = run(1, phase)
    waits = find_waiting([run(2), run(3)], [earlier], {"dan"})
    if phase in (Phase.MERGED, Phase.LIVE, Phase.EMPTY, Phase.REJECTED):
        assert waits == {}
    else:
        assert waits == {"r2": "r1", "r3": "r1"}


def test_only_ingestors_that_say_so_wait_and_only_for_their_own_earlier_runs() -> None:
    others = [run(2, Phase.FAILED), run(1, Phase.FAILED, "dave"), run(9, Phase.FAILED, "dana")]
    queued = [run(3), run(4, ingestor="dave"), run(5, ingestor="dana")]
    assert find_waiting(queued, others, {"dan", "dana"}) == {"r3": "r2"}


def test_a_run_that_leaves_main_is_in_the_way() -> None:
    leaving = replace(run(1, Phase.MERGED), revert_reason="it was wrong")
    assert find_waiting([run(2)], [leaving], {"dan"}) == {"r2": "r1"}


def test_runs_that_are_up_together_do_not_wait_for_each_other_and_the_earliest_is_named() -> None:
    up = [run(1, Phase.HELD), run(2), run(5)]
    others = [run(4, Phase.CHECKING), run(3, Phase.FAILED), run(1, Phase.HELD), run(2), run(5)]
    assert find_waiting(up, others, {"dan"}) == {"r5": "r3"}


# A culprit that does not show


def report(*outcomes: Outcome, gate: Gate = Gate.LOCAL) -> Report:
    return Report(gate, "c", "m", tuple(result(None, outcome) for outcome in outcomes))


def test_suspects_are_who_nobody_looked_at_who_was_warned_of_and_whose_last_one_went_wrong() -> None:
    reports = {
        "good": report(Outcome.PASSED),
        "warned": report(Outcome.PASSED, Outcome.WARNED),
        "later": report(Outcome.PASSED, gate=Gate.INTEGRATION),
    }
    lands = [
        run(1),
        replace(run(2), report="good"),
        replace(run(3), report="warned"),
        replace(run(4, ingestor="dave"), report="good"),
        replace(run(5), report="later"),
        replace(run(6), report="unknown"),
    ]
    assert find_suspects(lands, reports, {"dave"}) == {"r1", "r3", "r4", "r5", "r6"}


def test_what_lands_before_a_suspect_in_order_is_asked_with_it() -> None:
    lands = [replace(run(1), report="good"), run(2), replace(run(3), report="good")]
    reports = {"good": report(Outcome.PASSED)}
    assert find_suspects(lands, reports, (), {"dan"}) == {"r1", "r2"}
    assert find_suspects(lands, reports, ()) == {"r2"}


def test_reverts_are_tested_apart_from_the_runs() -> None:
    first, rest = split(CandidatePlan((run(1), run(2)), (run(9),)))
    assert (names(first), names(rest)) == (([], ["r9"]), (["r1", "r2"], []))


def test_few_suspects_are_tested_alone_and_many_by_halves() -> None:
    plan = CandidatePlan(tuple(run(n) for n in range(1, 6)))
    for suspects, first in (
        ({"r4"}, "r4"),
        ({"r4", "r2"}, "r2 r4"),
        ({"r5", "r4", "r3", "r2"}, "r2 r3 r4"),
        ((), "r1 r2 r3"),
    ):
        part, rest = split(plan, suspects)
        assert names(part)[0] == first.split()
        assert sorted((*part.run_ids, *rest.run_ids)) == sorted(plan.run_ids)


@given(
    queued=queues.filter(bool), suspects=st.sets(st.integers(1, 40)), in_order=st.sets(st.sampled_from(["dan", "dora"]))
)
def test_no_part_holds_a_run_in_order_without_the_earlier_ones(
    queued: list[Run], suspects: set[int], in_order: set[str]
) -> None:
    lands = [replace(each, report=None if each.window.seq in suspects else "good") for each in queued]
    guilty = find_suspects(lands, {"good": report(Outcome.PASSED)}, (), in_order)
    part, rest = split(CandidatePlan(tuple(lands)), guilty)
    for later in part.lands:
        if later.ingestor in in_order:
            left = [each.window.seq for each in rest.lands if each.ingestor == later.ingestor]
            assert min(left, default=later.window.seq) >= later.window.seq


@given(
    size=st.integers(1, 256), culprit=st.integers(0, 255), suspects=st.sets(st.integers(0, 255)), reverts=st.booleans()
)
def test_a_culprit_is_found_in_the_logarithm_of_candidates_whether_suspicion_is_right_or_wrong(
    size: int, culprit: int, suspects: set[int], reverts: bool
) -> None:
    culprit %= size
    guilty = {f"r{seq}" for seq in suspects if seq < size}
    red, candidates = CandidatePlan(tuple(run(n) for n in range(size)), (run(999),) if reverts else ()), 0
    while True:
        part, rest = split(red, guilty)
        assert part
        candidates += 1
        if f"r{culprit}" not in part.run_ids:
            red = rest
        elif part.can_be_split:
            red = part
        else:
            break
    assert part.run_ids == (f"r{culprit}",)
    assert candidates <= ceil(log2(size)) + 3
    if len(guilty) == 1 and f"r{culprit}" in guilty and not reverts:
        assert candidates == 1


def result(run_id: str | None, outcome: Outcome) -> Result:
    return Result("c", "orders", outcome, "m", run_id=run_id)


@pytest.mark.parametrize(
    ("outcome", "guilty"),
    [
        (Outcome.FAILED, {"r1"}),
        (Outcome.ERRORED, {"r1"}),
        (Outcome.WARNED, set()),
        (Outcome.SKIPPED, set()),
        (Outcome.PASSED, set()),
    ],
)
def test_a_culprit_owns_a_failed_or_errored_result(outcome: Outcome, guilty: set[str]) -> None:
    assert (
        find_culprits([result("r1", outcome), result("r2", Outcome.PASSED)], CandidatePlan((run(1), run(2)))) == guilty
    )


def test_a_result_that_no_run_owns_makes_nobody_guilty() -> None:
    assert find_culprits([result(None, Outcome.FAILED)], CandidatePlan((run(1), run(2)))) == frozenset()


def test_a_run_that_is_not_in_the_batch_is_not_its_culprit() -> None:
    assert find_culprits(
        [result("r7", Outcome.FAILED), result("r9", Outcome.FAILED)], CandidatePlan((run(1),), (run(9),))
    ) == (frozenset())


def test_foreign_is_what_lies_outside_the_folders_and_is_not_the_fence() -> None:
    paths = ["raw/orders/r1/part-0.parquet", HEAD_FENCE, "raw/orders/r2/part-0.parquet", "marts/x.parquet"]
    assert find_foreign(paths, ("raw/orders/r1/",)) == ("raw/orders/r2/part-0.parquet", "marts/x.parquet")


def test_a_folder_does_not_own_another_whose_name_begins_like_it() -> None:
    assert find_foreign(["raw/orders/r10/part-0.parquet"], (run(1).folder,)) == ("raw/orders/r10/part-0.parquet",)


def test_without_folders_everything_but_the_fence_is_foreign() -> None:
    assert find_foreign(["a", HEAD_FENCE, "_dartifact/head.json.bak"], ()) == ("a", "_dartifact/head.json.bak")


def test_a_commit_contains_the_runs_whose_folders_hold_objects() -> None:
    paths = ["raw/orders/r1/part-0.parquet", "raw/orders/r1/part-1.parquet", "raw/customers/c7/p", HEAD_FENCE]
    assert runs_in(paths) == {"r1", "c7"}
