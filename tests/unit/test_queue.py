"""What goes into one candidate, who is guilty when it is red, what it may change."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.domain.checks import Outcome, Result
from flows.domain.queue import HEAD_FENCE, Batch, find_culprits, find_foreign, plan_batch, runs_in, split
from flows.domain.runs import Phase, Run
from flows.domain.windows import Window

NOON = datetime(2021, 1, 1, 12, tzinfo=UTC)


def run(seq: int, phase: Phase = Phase.QUEUED) -> Run:
    return Run(f"r{seq}", "orders", "dan", 100 + seq, Window(seq, "orders", 0, NOON, NOON), phase, NOON)


def names(batch: Batch) -> tuple[list[str], list[str]]:
    return [each.run_id for each in batch.lands], [each.run_id for each in batch.reverts]


def test_queued_runs_land_in_the_order_they_were_claimed() -> None:
    assert names(plan_batch([run(3), run(1), run(2)], [], 16)) == (["r1", "r2", "r3"], [])


def test_reverts_come_first_and_count_against_the_size() -> None:
    batch = plan_batch([run(1), run(2), run(3)], [run(9), run(8)], 4)
    assert names(batch) == (["r1", "r2"], ["r8", "r9"])


def test_more_reverts_than_the_size_leave_no_place_for_runs() -> None:
    assert names(plan_batch([run(1)], [run(9), run(8), run(7)], 2)) == ([], ["r7", "r8"])


def test_an_empty_queue_is_an_empty_batch() -> None:
    assert not plan_batch([], [], 16)
    assert plan_batch([run(1)], [], 16)
    assert plan_batch([], [run(1)], 16)


def test_a_batch_names_its_runs_and_the_folders_it_may_change() -> None:
    batch = Batch((run(1),), (run(9),))
    assert batch.run_ids == ("r1", "r9")
    assert batch.folders == ("raw/orders/r1/", "raw/orders/r9/")


@given(queued=st.sets(st.integers(0, 50)), reverts=st.sets(st.integers(51, 80)), size=st.integers(1, 20))
def test_taking_batches_until_nothing_waits_takes_every_run_once(
    queued: set[int], reverts: set[int], size: int
) -> None:
    waiting, out, taken = {n: run(n) for n in queued}, {n: run(n) for n in reverts}, []
    while batch := plan_batch(waiting.values(), out.values(), size):
        assert len(batch.run_ids) <= size
        taken += batch.run_ids
        for each in (*batch.lands, *batch.reverts):
            waiting.pop(each.window.seq, None)
            out.pop(each.window.seq, None)
    assert sorted(taken) == sorted(f"r{n}" for n in queued | reverts)


def test_a_split_halves_the_lands_and_keeps_the_reverts_in_the_first_half() -> None:
    first, second = split(Batch((run(1), run(2), run(3)), (run(9),)))
    assert (names(first), names(second)) == ((["r1"], ["r9"]), (["r2", "r3"], []))


@given(st.integers(2, 64))
def test_splitting_again_and_again_leaves_a_culprit_alone(size: int) -> None:
    batch, halvings = Batch(tuple(run(n) for n in range(size))), 0
    while len(batch.lands) > 1:
        first, second = split(batch)
        assert first.lands + second.lands == batch.lands
        assert first.lands
        assert second.lands
        batch, halvings = max(first, second, key=lambda half: len(half.lands)), halvings + 1
    assert halvings <= 6


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
    assert find_culprits([result("r1", outcome), result("r2", Outcome.PASSED)], Batch((run(1), run(2)))) == guilty


def test_a_result_that_no_run_owns_makes_nobody_guilty() -> None:
    assert find_culprits([result(None, Outcome.FAILED)], Batch((run(1), run(2)))) == frozenset()


def test_a_run_that_is_not_in_the_batch_is_not_its_culprit() -> None:
    assert find_culprits([result("r7", Outcome.FAILED), result("r9", Outcome.FAILED)], Batch((run(1),), (run(9),))) == (
        frozenset()
    )


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
