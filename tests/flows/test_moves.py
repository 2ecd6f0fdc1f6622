"""The two ways a protected branch moves, on a real lakeFS server that is cut, paused and edited by hand."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from dartifact.adapters.lakefs.lake import MAIN, PRODUCTION, STAGING
from dartifact.adapters.lakefs.values import Commit
from dartifact.commands.production import publication
from dartifact.commands.production.choice import choose_promotion
from dartifact.commands.production.publication import PUBLISHED_FENCE
from dartifact.commands.queue import candidates, rounds
from dartifact.commands.queue.candidates import Candidate, MainMoved, MainUntested, RunRefused, build_candidate
from dartifact.commands.repair.adopt import adopt, plan_adoption
from dartifact.commands.repair.reconcile import finish_open_intents, reconcile, show_settled
from dartifact.commands.repair.restoration import plan_restoration, restore
from dartifact.commands.stack import Stack
from dartifact.commands.upkeep.notify import compose
from dartifact.domain import errors, plans
from dartifact.domain.checks import judge
from dartifact.domain.decisions import Decision
from dartifact.domain.plans import LivePointer
from dartifact.domain.queue import HEAD_FENCE, CandidatePlan
from dartifact.domain.runs import Phase, Run
from dartifact.domain.windows import WindowState
from tests.support.proxy import Fault, Proxy, merge_into
from tests.support.sources import bad_order, customer, order
from tests.support.world import ACTOR, World, edit_by_hand, green

MERGE = merge_into(MAIN)


def batch_of(world: World, *runs: Run) -> CandidatePlan:
    return CandidatePlan(tuple(world.run(run) for run in runs))


def candidate_of(world: World, *runs: Run) -> Candidate:
    return build_candidate(world.stack, batch_of(world, *runs), world.head)


def advance(stack: Stack, candidate: Candidate) -> str:
    """Advance with a green report, which the queue saves before."""
    report = green(candidate.commit)
    with stack.ledger.write() as tx:
        tx.reports.save(report, judge(report.results))
    return candidates.advance(stack, candidate, report, ACTOR)


def merges_of_main(world: World) -> list[Commit]:
    return [each for each in world.lake.log(MAIN) if each.parents]


def count_events(world: World, *types: str) -> dict[str, int]:
    found = [event.type for event in world.events(*types)]
    return {name: found.count(name) for name in types}


@pytest.fixture
def queued(world: World) -> tuple[Run, ...]:
    """Bring three runs of one customer each into the queue."""
    return tuple(world.queue("customers", customer(number)) for number in (1, 2, 3))


# Advancing


def test_advance_makes_main_exactly_the_tested_candidate(world: World, queued: tuple[Run, ...]) -> None:
    head = world.head
    candidate = candidate_of(world, *queued[:2])
    # Squashed: a run that is an ancestor could not land again after its rows were taken out.
    assert {len(each.parents) for each in world.lake.log(candidate.commit.commit_id, stop_at=head.commit_id)} == {0, 1}
    merged = advance(world.stack, candidate)
    assert world.head.commit_id == merged
    assert world.head.parents == (head.commit_id, candidate.commit.commit_id)
    assert world.head.meta_range == candidate.commit.meta_range
    assert world.head.metadata["operation"] == candidate.operation
    assert world.runs_in_main() == {queued[0].run_id, queued[1].run_id}
    assert world.keys("customers") == ["C000001", "C000002"]
    assert world.lake.read_json(merged, HEAD_FENCE) == {
        "operation": candidate.operation,
        "head": head.commit_id,
        "runs": [queued[0].run_id, queued[1].run_id],
        "reverts": [],
    }
    assert [world.run(run).phase for run in queued] == [Phase.MERGED, Phase.MERGED, Phase.QUEUED]
    assert not world.lake.has_branch(candidate.branch)
    assert all(world.lake.has_branch(run.branch) for run in queued)
    assert world.intent_outcomes() == {candidate.operation: "done"}


def test_of_many_advancers_at_once_exactly_one_wins_each_round(world: World, queued: tuple[Run, ...]) -> None:
    waiting = [*queued, world.queue("customers", customer(4))]
    while waiting:
        candidates = {run.run_id: candidate_of(world, run) for run in waiting}
        together = threading.Barrier(len(waiting))

        def race(candidate: Candidate, together: threading.Barrier = together) -> str:
            together.wait()
            try:
                return advance(world.stack, candidate)
            except MainMoved:
                return "moved"

        with ThreadPoolExecutor(len(waiting)) as pool:
            came = dict(zip(candidates, pool.map(race, candidates.values()), strict=True))
        winners = [run_id for run_id, outcome in came.items() if outcome != "moved"]
        assert len(winners) == 1
        waiting = [run for run in waiting if run.run_id not in winners]
        assert {world.run(run).phase for run in waiting} <= {Phase.QUEUED}
    assert world.keys("customers") == ["C000001", "C000002", "C000003", "C000004"]
    assert len(merges_of_main(world)) == 4
    assert sorted(map(str, world.intent_outcomes().values())) == ["done"] * 4 + ["lost"] * 6
    assert count_events(world, "RunMerged", "MainAdvanced") == {"RunMerged": 4, "MainAdvanced": 4}
    assert world.lake.list_branches("candidate-") == ()


def test_paused_advancer_that_wakes_up_after_another_merged_has_lost(
    world: World, queued: tuple[Run, ...], proxy: Proxy
) -> None:
    slow, quick = candidate_of(world, queued[0]), candidate_of(world, queued[1])
    pause = proxy.add(MERGE, Fault.PAUSE)
    with ThreadPoolExecutor(1) as pool:
        sleeper = pool.submit(advance, world.through(proxy.url), slow)
        assert pause.arrived.wait(30)
        merged = advance(world.stack, quick)
        pause.release.set()
        with pytest.raises(MainMoved):
            sleeper.result()
    assert world.head.commit_id == merged
    assert world.intent_outcomes() == {slow.operation: "lost", quick.operation: "done"}
    assert world.run(queued[0]).phase is Phase.QUEUED
    advance(world.stack, candidate_of(world, queued[0]))
    assert world.keys("customers") == ["C000001", "C000002"]


def test_candidate_of_an_old_head_is_refused_even_when_it_is_merged_much_later(
    world: World, queued: tuple[Run, ...]
) -> None:
    old = candidate_of(world, queued[0])
    advance(world.stack, candidate_of(world, queued[1]))
    advance(world.stack, candidate_of(world, queued[2]))
    before = world.head
    with pytest.raises(MainMoved):
        advance(world.stack, old)
    assert world.head == before


def leave_intent_open(world: World, proxy: Proxy, candidate: Candidate, fault: Fault = Fault.CUT_BEFORE) -> None:
    """Advance over a connection whose merges are always cut: the writer gives up, its intent stays open."""
    proxy.add(MERGE, fault, times=None)
    with pytest.raises((errors.OutcomeUnknown, errors.LakeUnavailable)):
        advance(world.through(proxy.url), candidate)
    assert [intent.operation for intent in world.stack.ledger.open_intents()] == [candidate.operation]


def test_repeated_operation_is_adopted_once(world: World, queued: tuple[Run, ...], proxy: Proxy) -> None:
    candidate = candidate_of(world, *queued)
    leave_intent_open(world, proxy, candidate)
    (intent,) = world.stack.ledger.open_intents()
    found = {candidates.finish_advance(world.stack, intent.operation, intent.payload) for _ in range(3)}
    assert found == {world.head.commit_id}
    assert len(merges_of_main(world)) == 1
    assert count_events(world, "RunMerged", "MainAdvanced") == {"RunMerged": 3, "MainAdvanced": 1}


def test_operation_that_many_finish_at_once_is_adopted_once(
    world: World, queued: tuple[Run, ...], proxy: Proxy
) -> None:
    leave_intent_open(world, proxy, candidate_of(world, *queued))
    together = threading.Barrier(4)

    def finish(_: int) -> tuple[str, ...]:
        together.wait()
        return finish_open_intents(world.stack, ACTOR)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(finish, range(4)))
    assert len(merges_of_main(world)) == 1
    assert set(world.intent_outcomes().values()) == {"done"}
    assert count_events(world, "RunMerged", "MainAdvanced") == {"RunMerged": 3, "MainAdvanced": 1}


def test_repeating_an_operation_after_others_have_merged_finds_its_own_merge(
    world: World, queued: tuple[Run, ...], proxy: Proxy
) -> None:
    candidate = candidate_of(world, queued[0])
    leave_intent_open(world, proxy, candidate, Fault.CUT_AFTER)
    own = world.head.commit_id
    advance(world.stack, candidate_of(world, queued[1]))
    assert finish_open_intents(world.stack, ACTOR) == (f"advance {candidate.operation}: finished",)
    (event,) = world.events("RunMerged", run=queued[0])
    assert event.payload["commit"] == own
    assert len(merges_of_main(world)) == 2


# Connections cut in the middle of a merge


@pytest.mark.parametrize("fault", [Fault.CUT_BEFORE, Fault.CUT_AFTER, Fault.HALF])
@pytest.mark.parametrize("times", [1, 3])
def test_cut_merge_is_repeated_until_it_is_known_to_have_happened_once(
    world: World, queued: tuple[Run, ...], proxy: Proxy, fault: Fault, times: int
) -> None:
    candidate = candidate_of(world, *queued)
    proxy.add(MERGE, fault, times=times)
    merged = advance(world.through(proxy.url), candidate)
    assert proxy.count(MERGE) == times + 1
    assert [each.commit_id for each in merges_of_main(world)] == [merged]
    assert world.intent_outcomes() == {candidate.operation: "done"}
    assert {world.run(run).phase for run in queued} == {Phase.MERGED}
    assert count_events(world, "RunMerged", "MainAdvanced") == {"RunMerged": 3, "MainAdvanced": 1}


def test_merge_that_is_served_after_its_repetition_changes_nothing(
    world: World, queued: tuple[Run, ...], proxy: Proxy
) -> None:
    late = proxy.add(MERGE, Fault.LATE)
    merged = advance(world.through(proxy.url), candidate_of(world, *queued))
    late.release.set()
    assert late.served.wait(30)
    assert [each.commit_id for each in merges_of_main(world)] == [merged]


def test_lake_that_is_cut_off_for_ever_leaves_the_intent_to_whoever_comes_next(
    world: World, queued: tuple[Run, ...], proxy: Proxy
) -> None:
    candidate = candidate_of(world, *queued)
    leave_intent_open(world, proxy, candidate)
    assert merges_of_main(world) == []
    assert {world.run(run).phase for run in queued} == {Phase.QUEUED}
    assert finish_open_intents(world.stack, ACTOR) == (f"advance {candidate.operation}: finished",)
    assert world.keys("customers") == ["C000001", "C000002", "C000003"]
    assert {world.run(run).phase for run in queued} == {Phase.MERGED}
    assert world.intent_outcomes() == {candidate.operation: "done"}
    assert finish_open_intents(world.stack, ACTOR) == ()


def test_merge_that_is_served_after_everybody_gave_up_is_adopted(
    world: World, queued: tuple[Run, ...], proxy: Proxy
) -> None:
    candidate = candidate_of(world, *queued)
    late = proxy.add(MERGE, Fault.LATE, times=None)
    with pytest.raises(errors.OutcomeUnknown):
        advance(world.through(proxy.url), candidate)
    assert merges_of_main(world) == []
    late.release.set()
    assert late.served.wait(30)
    merged = world.head
    assert merged.parents[1] == candidate.commit.commit_id
    done = world.integrate()
    assert (done.merged, done.candidates) == ([], 0)
    assert world.head == merged
    assert count_events(world, "RunMerged", "MainAdvanced") == {"RunMerged": 3, "MainAdvanced": 1}


def test_merge_that_is_served_after_another_won_is_lost_and_its_runs_stay_queued(
    world: World, queued: tuple[Run, ...], proxy: Proxy
) -> None:
    candidate = candidate_of(world, queued[0])
    late = proxy.add(MERGE, Fault.LATE, times=None)
    with pytest.raises(errors.OutcomeUnknown):
        advance(world.through(proxy.url), candidate)
    advance(world.stack, candidate_of(world, queued[1]))
    late.release.set()
    assert late.served.wait(30)
    assert world.runs_in_main() == {queued[1].run_id}
    (found,) = finish_open_intents(world.stack, ACTOR)
    assert "main moved" in found
    assert world.intent_outcomes()[candidate.operation] == "lost"
    assert world.run(queued[0]).phase is Phase.QUEUED
    assert set(world.integrate().merged) == {queued[0].run_id, queued[2].run_id}
    assert world.runs_in_main() == {run.run_id for run in queued}


def test_intent_whose_commit_is_gone_is_dropped(world: World, queued: tuple[Run, ...]) -> None:
    payload = {"head": world.head.commit_id, "commit": "0" * 64, "meta_range": "x", "report": "", "actor": ACTOR,
               "lands": {queued[0].run_id: "0" * 64}, "reverts": []}  # fmt: skip
    with world.stack.ledger.write() as tx:
        tx.intents.open("lost-operation", "advance", payload)
    (found,) = finish_open_intents(world.stack, ACTOR)
    assert "its commit is gone" in found
    assert world.intent_outcomes() == {"lost-operation": "dropped"}
    assert world.run(queued[0]).phase is Phase.QUEUED


# Paths that are not a run's own


def foreign_edits(other: Run) -> dict[str, tuple[str, Callable[[World, str], object]]]:
    """Name (what is touched, how) for every way to touch what is not one's own."""

    def touch(path: str) -> tuple[str, Callable[[World, str], object]]:
        return path, lambda world, branch: world.lake.upload(branch, path, b"mine")

    theirs = f"{other.folder}part-0.parquet"
    return {
        "another run's file": touch(theirs),
        "another run's folder": touch(f"{other.folder}part-1.parquet"),
        "another run's deleted file": (theirs, lambda world, branch: world.lake.delete_objects(branch, [theirs])),
        "the folder of a run that is not there": touch("raw/customers/customers-dana-20210101T0000Z-999/x"),
        "another dataset": touch("raw/orders/orders-dan-20210101T0000Z-100/part-0.parquet"),
        "a folder that only begins like its own": touch(f"{other.folder.rstrip('/')}0/part-0.parquet"),
        "the fence of main": touch(HEAD_FENCE),
        "another file of ours": touch("_dartifact/passport.json"),
        "a file at the top": touch("README.md"),
        "a dataset's own file": touch("raw/customers/part-0.parquet"),
    }


def test_run_that_touches_what_is_not_its_own_is_refused_by_name(world: World) -> None:
    there = world.place("customers", customer(1))
    bad, good = world.queue("customers", customer(2)), world.queue("customers", customer(3))
    for number, (path, edit) in enumerate(foreign_edits(there).values()):
        branch = f"edit-{number}"
        world.lake.create_branch(branch, bad.commit or "")
        edit(world, branch)
        edited = world.lake.commit(branch, "by hand", {}).commit_id
        plan = CandidatePlan((good, replace(bad, commit=edited)))
        with pytest.raises(RunRefused) as caught:
            build_candidate(world.stack, plan, world.head)
        assert caught.value.run_id == bad.run_id
        assert bad.run_id in caught.value.message
        assert path in caught.value.message
    assert world.lake.list_branches("candidate-") == ()


def test_runs_that_touch_what_is_not_their_own_fail_alone_and_the_others_merge(world: World) -> None:
    there = world.place("customers", customer(1))
    edits = foreign_edits(there)
    world.leave_out_local_gate("customers")
    bad = {}
    for number, what in enumerate(("another run's deleted file", "the fence of main", "another dataset")):
        path, edit = edits[what]
        run = world.bring("customers", customer(20 + number))
        bad[world.amend(run, lambda branch, edit=edit: edit(world, branch)).run_id] = path
    good = world.bring("customers", customer(3))
    done = world.integrate()
    assert (set(done.failed), done.merged) == (set(bad), [good.run_id])
    assert [path in world.run(run_id).reasons[0] for run_id, path in bad.items()] == [True] * 3
    assert all(world.lake.has_branch(f"run-{run_id}") for run_id in bad)
    assert world.runs_in_main() == {there.run_id, good.run_id}
    assert world.lake.list_branches("candidate-") == ()


def test_candidate_that_was_edited_after_it_was_built_is_refused(world: World, queued: tuple[Run, ...]) -> None:
    candidate = candidate_of(world, *queued)
    world.lake.upload(candidate.branch, "README.md", b"mine")
    edited = world.lake.commit(candidate.branch, "by hand", {})
    with pytest.raises(errors.ChecksFailed, match=r"README\.md"):
        advance(world.stack, replace(candidate, commit=edited))
    assert merges_of_main(world) == []
    assert world.stack.ledger.open_intents() == ()


# Taking out, and landing again


def test_one_run_of_a_merged_batch_is_taken_out_and_the_others_stay(world: World, queued: tuple[Run, ...]) -> None:
    world.integrate()
    assert len(merges_of_main(world)) == 1
    world.request_revert(queued[1], "wrong country")
    done = world.integrate()
    assert (done.reverted, done.merged) == ([queued[1].run_id], [])
    assert world.keys("customers") == ["C000001", "C000003"]
    taken = world.run(queued[1])
    assert (taken.phase, taken.window.state) == (Phase.REVERTED, WindowState.REVERTED)
    assert taken.reasons == ("wrong country",)
    assert taken.revert_reason is None
    assert [run_id for _, run_id in world.stack.ledger.gaps()] == [queued[1].run_id]
    assert [world.run(run).phase for run in queued] == [Phase.MERGED, Phase.REVERTED, Phase.MERGED]
    assert world.lake.has_branch(queued[1].branch)


def test_reverted_run_lands_again_with_a_fix(world: World, queued: tuple[Run, ...]) -> None:
    world.integrate()
    world.request_revert(queued[1])
    world.integrate()
    fixed = world.fix(queued[1], customer(2, country="FR"), customer(22))
    assert fixed.phase is Phase.QUEUED
    assert world.integrate().merged == [queued[1].run_id]
    assert world.keys("customers") == ["C000001", "C000002", "C000003", "C000022"]
    assert world.rows("customers")[1]["country"] == "FR"
    assert world.run(queued[1]).phase is Phase.MERGED
    assert world.stack.ledger.gaps() == ()


def test_reverted_run_lands_again_with_the_same_commit(world: World, queued: tuple[Run, ...]) -> None:
    world.integrate()
    before = world.content()
    world.request_revert(queued[1])
    world.integrate()
    for _ in range(2):
        with world.stack.ledger.write() as tx:
            tx.runs.move(queued[1].run_id, Phase.QUEUED, "MergeRequested", ACTOR)
        assert world.integrate().merged == [queued[1].run_id]
        assert world.content() == before
        world.request_revert(world.run(queued[1]))
        assert world.integrate().reverted == [queued[1].run_id]
        assert world.keys("customers") == ["C000001", "C000003"]


def test_run_that_is_still_there_is_replaced_by_its_new_commit(world: World, queued: tuple[Run, ...]) -> None:
    world.integrate()

    def edit(branch: str) -> None:
        world.lake.delete_objects(branch, [f"{queued[1].folder}part-0.parquet"])
        world.write_batch(queued[1], branch, customer(22), name="part-9.parquet")

    assert world.amend(queued[1], edit).phase is Phase.QUEUED
    assert world.integrate().merged == [queued[1].run_id]
    assert world.keys("customers") == ["C000001", "C000003", "C000022"]
    assert list(world.content(prefix=queued[1].folder)) == [f"{queued[1].folder}part-9.parquet"]


def test_run_that_is_still_there_can_be_queued_again_unchanged(world: World, queued: tuple[Run, ...]) -> None:
    world.integrate()
    before = world.content()
    with world.stack.ledger.write() as tx:
        tx.runs.move(queued[1].run_id, Phase.QUEUED, "MergeRequested", ACTOR, adopt=True)
    assert world.integrate().merged == [queued[1].run_id]
    assert world.content() == before
    assert world.run(queued[1]).phase is Phase.MERGED


def test_revert_and_landing_go_in_one_batch(world: World, queued: tuple[Run, ...]) -> None:
    world.integrate()
    world.request_revert(queued[0])
    new = world.bring("customers", customer(4))
    done = world.integrate()
    assert (done.reverted, done.merged, done.candidates) == ([queued[0].run_id], [new.run_id], 1)
    assert world.keys("customers") == ["C000002", "C000003", "C000004"]


def test_everything_can_be_taken_out(world: World, queued: tuple[Run, ...]) -> None:
    world.integrate()
    for run in queued:
        world.request_revert(run)
    assert set(world.integrate().reverted) == {run.run_id for run in queued}
    assert world.content() == {}
    with world.stack.ledger.write() as tx:
        for run in queued:
            tx.runs.move(run.run_id, Phase.QUEUED, "MergeRequested", ACTOR)
    assert len(world.integrate().merged) == 3
    assert world.keys("customers") == ["C000001", "C000002", "C000003"]


# Merged by hand


def merge_by_hand(world: World, run: Run) -> str:
    """Merge a run's branch into `main`, as somebody with the key can."""
    assert run.commit is not None
    return world.lake.merge(run.commit, MAIN, "by hand")


def spoil_by_hand(world: World, path: str = "README.md") -> str:
    return edit_by_hand(world.lake, MAIN, lambda branch: world.lake.upload(branch, path, b"mine"))


def test_good_run_merged_by_hand_is_adopted(world: World, queued: tuple[Run, ...]) -> None:
    merged = merge_by_hand(world, queued[1])
    done = world.integrate()
    assert set(done.merged) == {queued[0].run_id, queued[2].run_id}
    assert world.run(queued[1]).phase is Phase.MERGED
    (event,) = world.events("RunMerged", run=queued[1])
    assert event.payload["by_hand"] is True
    assert event.payload["commit"] == merged
    assert [each.commit_id for each in merges_of_main(world)][1] == merged
    assert count_events(world, "MainFoundUntested", "MainAdopted", "MainRepaired") == {
        "MainFoundUntested": 1,
        "MainAdopted": 1,
        "MainRepaired": 0,
    }
    assert world.keys("customers") == ["C000001", "C000002", "C000003"]
    assert world.integrate().candidates == 0


@pytest.mark.parametrize("path", ["README.md", "raw/customers/odd.parquet", "_dartifact/passport.json"])
def test_what_no_run_brought_is_repaired_forward_to_the_last_tested_content(world: World, path: str) -> None:
    there = world.place("customers", customer(1))
    tested = world.head
    spoiled = spoil_by_hand(world, path)
    world.integrate()
    assert world.content() == world.content(tested.commit_id)
    assert world.head.parents[0] == spoiled
    assert world.stack.ledger.has_green_report(world.head.meta_range)
    (event,) = world.events("MainRepaired")
    assert event.payload["refused"] == spoiled
    assert event.payload["tested"] == tested.commit_id
    assert path in event.payload["reasons"][0]
    assert world.run(there).phase is Phase.MERGED
    assert world.land("customers", customer(2)).phase is Phase.MERGED


def test_a_folder_of_a_run_is_never_taken_out_of_main_without_a_person(world: World) -> None:
    world.place("customers", customer(1))
    tested = world.head
    bad = world.bring("orders", order(1), bad_order(2))
    assert bad.phase is Phase.FAILED
    spoiled = merge_by_hand(world, bad)
    good = world.bring("orders", order(3))
    for _ in range(2):
        with pytest.raises(errors.MainHeld, match=f"brings {bad.run_id}: orders.status: 1 of 2 rows is not"):
            world.integrate()
    assert world.head.commit_id == spoiled
    (event,) = world.events("MainHeld")
    assert (event.payload["runs"], event.payload["tested"]) == ([bad.run_id], tested.commit_id)
    assert [message.title for message in compose(world.events())][-1].startswith("main is held: ")
    assert (world.run(bad).phase, world.run(good).phase) == (Phase.FAILED, Phase.QUEUED)
    with pytest.raises(errors.MainHeld, match="promotions wait while main is held"):
        choose_promotion(world.stack)

    restore_main(world)
    assert world.integrate().merged == [good.run_id]
    assert world.runs_in_main() == {good.run_id, *world.runs_in_main(tested.commit_id)}
    assert world.run(bad).phase is Phase.FAILED
    assert world.events("RunMerged", run=bad) == []


def test_a_held_main_can_be_kept_as_it_is(world: World) -> None:
    world.place("customers", customer(1))
    bad = world.bring("orders", order(1), bad_order(2))
    spoiled = merge_by_hand(world, bad)
    with pytest.raises(errors.MainHeld):
        world.integrate()
    adoption = plan_adoption(world.stack)
    assert adoption.arrived == (bad.run_id,)
    adopt(world.stack, adoption, Decision(ACTOR, "we know these rows"))
    assert world.integrate().candidates == 0
    assert world.run(bad).phase is Phase.MERGED
    assert spoiled in (world.head.commit_id, *world.head.parents)
    assert world.land("customers", customer(2)).phase is Phase.MERGED


def test_what_was_decided_about_a_head_counts_for_no_other(world: World) -> None:
    merge_by_hand(world, world.bring("orders", order(1), bad_order(2)))
    with pytest.raises(errors.MainHeld):
        world.integrate()
    adoption, restoration = plan_adoption(world.stack), plan_restoration(world.stack)
    assert restoration is not None
    spoil_by_hand(world)
    for decide in (
        lambda: adopt(world.stack, adoption, Decision(ACTOR, "why")),
        lambda: restore(world.stack, restoration, Decision(ACTOR, "why")),
    ):
        with pytest.raises(errors.Conflict, match="main has moved since this was shown"):
            decide()


def restore_main(world: World) -> None:
    restoration = plan_restoration(world.stack)
    assert restoration is not None
    restore(world.stack, restoration, Decision(ACTOR, "it was an accident"))


def test_first_thing_ever_in_main_can_be_bad_and_by_hand(world: World) -> None:
    spoil_by_hand(world)
    world.integrate()
    assert world.content() == {}
    assert world.land("customers", customer(1)).phase is Phase.MERGED


def test_run_deleted_by_hand_is_marked_reverted(world: World, queued: tuple[Run, ...]) -> None:
    world.integrate()
    paths = list(world.content(prefix=queued[1].folder))
    edit_by_hand(world.lake, MAIN, lambda branch: world.lake.delete_objects(branch, paths))
    world.integrate()
    assert world.run(queued[1]).phase is Phase.REVERTED
    assert world.keys("customers") == ["C000001", "C000003"]
    assert [run_id for _, run_id in world.stack.ledger.gaps()] == [queued[1].run_id]


def test_run_edited_by_hand_while_its_revert_is_requested_is_taken_out_all_the_same(
    world: World, queued: tuple[Run, ...]
) -> None:
    world.integrate()
    world.request_revert(queued[1], "wrong")
    edit_by_hand(world.lake, MAIN, lambda branch: world.write_batch(queued[1], branch, customer(22)))
    assert world.integrate().reverted == [queued[1].run_id]
    assert world.keys("customers") == ["C000001", "C000003"]
    assert world.run(queued[1]).reasons == ("wrong",)


def test_advance_reverted_by_hand_is_adopted_though_its_content_was_tested_before(world: World) -> None:
    first = world.place("customers", customer(1))
    second = world.place("customers", customer(2))
    revert_head_by_hand(world, MAIN)
    assert world.runs_in_main() == {first.run_id}
    world.integrate()
    assert world.runs_in_main() == {first.run_id}
    assert [world.run(run).phase for run in (first, second)] == [Phase.MERGED, Phase.REVERTED]
    with world.stack.ledger.write() as tx:
        tx.runs.move(second.run_id, Phase.QUEUED, "MergeRequested", ACTOR)
    assert world.integrate().merged == [second.run_id]
    assert world.keys("customers") == ["C000001", "C000002"]


def revert_head_by_hand(world: World, branch: str) -> None:
    calls = world.lake._calls
    body = calls.models.RevertCreation(ref=branch, parent_number=1)
    calls.write("revert", calls.branches_api.revert_branch, branch, body)


def while_checking(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Let something happen once, between building a candidate and merging it."""
    real = rounds.check_candidate
    left = [act]

    def check(*args: object) -> object:
        report = real(*args)  # type: ignore[arg-type]
        if left:
            left.pop()()
        return report

    monkeypatch.setattr(rounds, "check_candidate", check)


def test_run_merged_by_hand_while_a_candidate_is_checked_is_adopted_with_it(
    world: World, queued: tuple[Run, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    world.with_policy(candidate_size=1)
    while_checking(monkeypatch, lambda: merge_by_hand(world, queued[2]))
    world.integrate()
    assert world.keys("customers") == ["C000001", "C000002", "C000003"]
    assert {world.run(run).phase for run in queued} == {Phase.MERGED}
    assert count_events(world, "MainUntested", "MainRepaired") == {"MainUntested": 1, "MainRepaired": 0}
    assert all(len(world.events("RunMerged", run=run)) == 1 for run in queued)
    assert world.stack.ledger.open_intents() == ()


def test_rubbish_merged_by_hand_while_a_candidate_is_checked_is_repaired_and_no_run_is_lost(
    world: World, queued: tuple[Run, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    there = world.land("customers", customer(9))
    new = world.bring("customers", customer(10))
    while_checking(monkeypatch, lambda: spoil_by_hand(world))
    world.integrate()
    everybody = (*queued, there, new)
    assert world.runs_in_main() == {run.run_id for run in everybody}
    assert {world.run(run).phase for run in everybody} == {Phase.MERGED}
    assert "README.md" not in world.content()
    assert count_events(world, "MainUntested", "MainRepaired") == {"MainUntested": 1, "MainRepaired": 1}
    assert world.stack.ledger.has_green_report(world.head.meta_range)
    assert world.stack.ledger.open_intents() == ()


def test_revert_that_met_rubbish_merged_by_hand_is_done_all_the_same(
    world: World, queued: tuple[Run, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    world.integrate()
    world.request_revert(queued[0])
    while_checking(monkeypatch, lambda: spoil_by_hand(world))
    world.integrate()
    assert world.runs_in_main() == {queued[1].run_id, queued[2].run_id}
    assert world.run(queued[0]).phase is Phase.REVERTED
    assert world.stack.ledger.pending_reverts() == ()
    assert "README.md" not in world.content()


def test_rubbish_merged_by_hand_while_main_is_repaired_is_repaired_too(
    world: World, queued: tuple[Run, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    real, left = candidates.build_repair, ["second", "third"]

    def build(*args: object) -> Candidate:
        candidate = real(*args)  # type: ignore[arg-type]
        if left:
            spoil_by_hand(world, left.pop())
        return candidate

    monkeypatch.setattr(candidates, "build_repair", build)
    spoil_by_hand(world, "first")
    assert set(world.integrate().merged) == {run.run_id for run in queued}
    assert set(world.content()) == {f"{run.folder}part-0.parquet" for run in queued}
    assert world.stack.ledger.open_intents() == ()


def test_run_that_was_merged_by_hand_can_be_taken_out_and_land_again(world: World, queued: tuple[Run, ...]) -> None:
    merge_by_hand(world, queued[1])
    world.integrate()
    before = world.content()
    world.request_revert(queued[1])
    assert world.integrate().reverted == [queued[1].run_id]
    with world.stack.ledger.write() as tx:
        tx.runs.move(queued[1].run_id, Phase.QUEUED, "MergeRequested", ACTOR)
    assert world.integrate().merged == [queued[1].run_id]
    assert world.content() == before


def test_run_that_was_merged_by_hand_and_is_still_there_is_replaced_whole(
    world: World, queued: tuple[Run, ...]
) -> None:
    merge_by_hand(world, queued[1])
    world.integrate()
    world.amend(queued[1], lambda branch: world.write_batch(queued[1], branch, customer(22), name="part-1.parquet"))
    assert world.integrate().merged == [queued[1].run_id]
    assert len(world.content(prefix=queued[1].folder)) == 2
    assert world.keys("customers") == ["C000001", "C000002", "C000003", "C000022"]


def test_bad_run_that_was_merged_by_hand_and_repaired_away_lands_with_a_fix(world: World) -> None:
    world.place("customers", customer(1))
    bad = world.bring("orders", order(1), bad_order(2))
    merge_by_hand(world, bad)
    with pytest.raises(errors.MainHeld):
        world.integrate()
    restore_main(world)
    assert world.keys("orders") == []
    assert world.fix(bad, order(1), order(2)).phase is Phase.QUEUED
    assert world.integrate().merged == [bad.run_id]
    assert world.keys("orders") == [1, 2]


def test_run_merged_by_hand_before_the_rows_it_needs_holds_main(world: World) -> None:
    early = world.bring("orders", order(1))
    merge_by_hand(world, early)
    with pytest.raises(errors.MainHeld, match="reference missing customers"):
        world.integrate()
    restore_main(world)
    assert world.integrate().held == [early.run_id]
    assert world.content() == {}
    world.bring("customers", customer(1))
    assert len(world.integrate().merged) == 2
    assert world.keys("orders") == [1]


def test_untested_merge_is_told_to_the_caller_and_recorded(world: World, queued: tuple[Run, ...]) -> None:
    candidate = candidate_of(world, queued[0])
    spoiled = spoil_by_hand(world)
    with pytest.raises(MainUntested):
        advance(world.stack, candidate)
    assert world.head.parents == (spoiled, candidate.commit.commit_id)
    assert world.intent_outcomes() == {candidate.operation: "untested"}
    assert count_events(world, "MainUntested", "MainAdvanced") == {"MainUntested": 1, "MainAdvanced": 0}
    assert not world.stack.ledger.has_green_report(world.head.meta_range)


# Publishing


def make_snapshots(world: World) -> list[Commit]:
    """Commit four snapshots that share paths, differ in them, and lack each other's."""
    lake, root = world.lake, world.lake.head(PRODUCTION).commit_id
    made = []
    for name, files in {
        "a": {"marts/x": b"1", "marts/y": b"1", "_dartifact/passport.json": b"a"},
        "b": {"marts/x": b"2", "marts/y": b"1", "_dartifact/passport.json": b"b"},
        "c": {"marts/z": b"3"},
        "d": {"marts/x": b"1", "marts/z": b"4", "_dartifact/passport.json": b"d"},
    }.items():
        lake.create_branch(f"build-{name}", root)
        for path, content in files.items():
            lake.upload(f"build-{name}", path, content)
        made.append(lake.commit(f"build-{name}", f"snapshot {name}", {}))
    return made


@pytest.fixture
def snapshots(world: World) -> list[Commit]:
    """Commit four snapshots."""
    return make_snapshots(world)


def shows(world: World, branch: str, wanted: Commit) -> bool:
    """Say whether a branch holds exactly a snapshot, and a fence that says so."""
    fence = world.lake.read_json(f"{branch}@", PUBLISHED_FENCE)
    return world.content(f"{branch}@") == world.content(wanted.commit_id) and fence["wanted"] == wanted.commit_id


def publish(stack: Stack, branch: str, wanted: Commit, generation: int = 0) -> str:
    return publication.publish(stack, branch, wanted, dartifact="d", generation=generation, actor=ACTOR)


def test_each_of_fifty_random_publications_shows_exactly_its_snapshot(world: World, snapshots: list[Commit]) -> None:
    choose = random.Random(20210101)
    heads = [world.lake.head(PRODUCTION).commit_id]
    for generation in range(50):
        wanted = choose.choice(snapshots)
        known = generation > 0 and shows(world, PRODUCTION, wanted)
        commit = publish(world.stack, PRODUCTION, wanted, generation)
        assert shows(world, PRODUCTION, wanted)
        assert world.lake.head(PRODUCTION).commit_id == commit
        assert (commit == heads[-1]) is known
        if not known:
            assert world.lake.head(PRODUCTION).parents[0] == heads[-1]
            assert world.lake.read_json(commit, PUBLISHED_FENCE)["generation"] == generation
            heads.append(commit)
    assert len(set(heads)) == len(heads) > 30
    assert world.lake.list_branches("publish-") == ()
    assert set(world.intent_outcomes().values()) == {"done"}


def test_repeated_publication_is_not_made_again(world: World, snapshots: list[Commit]) -> None:
    first = publish(world.stack, PRODUCTION, snapshots[0])
    assert publish(world.stack, PRODUCTION, snapshots[0], generation=7) == first
    assert len(world.intent_outcomes()) == 1
    assert len(world.events("SnapshotPublished")) == 1


def test_same_content_under_another_commit_is_published_under_its_own_name(
    world: World, snapshots: list[Commit]
) -> None:
    publish(world.stack, PRODUCTION, snapshots[0])
    world.lake.create_branch("twin", snapshots[1].commit_id)
    twin = world.lake.commit("twin", "twin", {}, source_metarange=snapshots[0].meta_range)
    publish(world.stack, PRODUCTION, twin)
    assert shows(world, PRODUCTION, twin)


def test_snapshot_goes_from_slot_to_production_and_back(world: World, snapshots: list[Commit]) -> None:
    blue, green_slot = f"{PRODUCTION}-blue", f"{PRODUCTION}-green"
    for slot, wanted in ((blue, snapshots[0]), (green_slot, snapshots[1]), (blue, snapshots[2])):
        shown = world.lake.commit_of(publish(world.stack, slot, wanted))
        assert shows(world, slot, wanted)
        publish(world.stack, PRODUCTION, shown)
        assert world.content(f"{PRODUCTION}@") == world.content(wanted.commit_id)
    assert shows(world, green_slot, snapshots[1])


@pytest.mark.parametrize("branch", [STAGING, f"{PRODUCTION}-blue", PRODUCTION])
def test_paused_publisher_that_wakes_up_after_another_published_has_lost(
    world: World, snapshots: list[Commit], proxy: Proxy, branch: str
) -> None:
    pause = proxy.add(merge_into(branch), Fault.PAUSE)
    with ThreadPoolExecutor(1) as pool:
        sleeper = pool.submit(publish, world.through(proxy.url), branch, snapshots[0])
        assert pause.arrived.wait(30)
        publish(world.stack, branch, snapshots[1])
        pause.release.set()
        with pytest.raises(errors.Conflict, match=f"another publisher moved {branch}"):
            sleeper.result()
    assert shows(world, branch, snapshots[1])
    assert sorted(map(str, world.intent_outcomes().values())) == ["done", "lost"]
    assert world.lake.list_branches("publish-") == ()


def test_publishers_at_once_never_leave_a_mixture(world: World, snapshots: list[Commit]) -> None:
    for _ in range(4):
        together = threading.Barrier(len(snapshots))

        def race(wanted: Commit, together: threading.Barrier = together) -> str | None:
            together.wait()
            try:
                return publish(world.stack, PRODUCTION, wanted)
            except errors.Conflict:
                return None

        with ThreadPoolExecutor(len(snapshots)) as pool:
            came = list(pool.map(race, snapshots))
        assert any(came)
        assert sum(shows(world, PRODUCTION, wanted) for wanted in snapshots) == 1
        assert world.lake.head(PRODUCTION).commit_id in came
    for head in world.lake.log(PRODUCTION):
        if head.parents:
            assert sum(world.content(head.commit_id) == world.content(each.commit_id) for each in snapshots) == 1


@pytest.mark.parametrize("fault", [Fault.CUT_BEFORE, Fault.CUT_AFTER, Fault.HALF])
def test_cut_publication_is_repeated_until_it_is_known_to_have_happened_once(
    world: World, snapshots: list[Commit], proxy: Proxy, fault: Fault
) -> None:
    proxy.add(merge_into(PRODUCTION), fault)
    commit = publish(world.through(proxy.url), PRODUCTION, snapshots[0])
    assert shows(world, PRODUCTION, snapshots[0])
    assert [each.commit_id for each in world.lake.log(PRODUCTION)][:1] == [commit]
    assert len([each for each in world.lake.log(PRODUCTION) if each.parents]) == 1
    assert len(world.events("SnapshotPublished")) == 1


def edit_production(world: World, path: str = "marts/x", content: bytes = b"by hand") -> None:
    edit_by_hand(world.lake, PRODUCTION, lambda branch: world.lake.upload(branch, path, content))


def test_production_edited_by_hand_is_overwritten_by_the_next_publication(
    world: World, snapshots: list[Commit]
) -> None:
    publish(world.stack, PRODUCTION, snapshots[0])
    for path in ("marts/x", "marts/new", "raw/orders/r/part-0.parquet"):
        edit_production(world, path)
        assert not shows(world, PRODUCTION, snapshots[0])
        publish(world.stack, PRODUCTION, snapshots[0])
        assert shows(world, PRODUCTION, snapshots[0])


def test_hand_that_is_quicker_than_the_publisher_is_reported_and_overwritten_next(
    world: World, snapshots: list[Commit], proxy: Proxy
) -> None:
    publish(world.stack, PRODUCTION, snapshots[1])
    pause = proxy.add(merge_into(PRODUCTION), Fault.PAUSE)
    with ThreadPoolExecutor(1) as pool:
        sleeper = pool.submit(publish, world.through(proxy.url), PRODUCTION, snapshots[0])
        assert pause.arrived.wait(30)
        edit_production(world, "marts/new")
        pause.release.set()
        with pytest.raises(errors.Conflict, match="by hand"):
            sleeper.result()
    assert len(world.events("SnapshotMixed")) == 1
    publish(world.stack, PRODUCTION, snapshots[0])
    assert shows(world, PRODUCTION, snapshots[0])


# The live pointer and its projections


def swap(world: World, move: Callable[[LivePointer], LivePointer]) -> LivePointer:
    pointer = world.stack.ledger.pointer()
    with world.stack.ledger.write() as tx:
        return tx.production.swap_pointer(pointer, move(pointer), "TrafficShifted", ACTOR)


def settle(world: World, name: str, wanted: Commit) -> Commit:
    """Bring a snapshot into the idle slot and settle it, without publishing `production`; return the slot's commit."""
    slot = world.stack.ledger.pointer().idle
    pointer = swap(world, lambda pointer: plans.claim(pointer, slot, name, name))
    shown = publication.publish(
        world.stack, f"{PRODUCTION}-{slot}", wanted, dartifact=name, generation=pointer.generation, actor=ACTOR
    )
    swap(world, lambda pointer: plans.record(pointer, slot, shown, name))
    swap(world, lambda pointer: plans.settle(pointer, slot, name))
    return world.lake.commit_of(shown)


def test_production_follows_the_settled_commit(world: World, snapshots: list[Commit]) -> None:
    for number, wanted in enumerate((*snapshots, snapshots[0])):
        settled = settle(world, f"d{number}", wanted)
        assert show_settled(world.stack, ACTOR)
        assert world.content(f"{PRODUCTION}@") == world.content(wanted.commit_id)
        assert world.lake.read_json(f"{PRODUCTION}@", PUBLISHED_FENCE)["wanted"] == settled.commit_id
        assert not show_settled(world.stack, ACTOR)
        assert reconcile(world.stack) == ()


def test_nothing_settled_means_nothing_published(world: World) -> None:
    before = world.lake.head(PRODUCTION)
    assert not show_settled(world.stack, ACTOR)
    assert reconcile(world.stack) == ()
    assert world.lake.head(PRODUCTION) == before


def test_paused_publisher_of_an_older_generation_never_brings_it_back(
    world: World, snapshots: list[Commit], proxy: Proxy
) -> None:
    settle(world, "d0", snapshots[0])
    pause = proxy.add(merge_into(PRODUCTION), Fault.PAUSE)
    with ThreadPoolExecutor(1) as pool:
        sleeper = pool.submit(show_settled, world.through(proxy.url), ACTOR)
        assert pause.arrived.wait(30)
        settle(world, "d1", snapshots[1])
        show_settled(world.stack, ACTOR)
        pause.release.set()
        assert sleeper.result() is False
    assert world.content(f"{PRODUCTION}@") == world.content(snapshots[1].commit_id)


def test_pointer_that_moves_while_its_production_is_published_is_followed(
    world: World, snapshots: list[Commit], proxy: Proxy
) -> None:
    settle(world, "d0", snapshots[0])
    pause = proxy.add(merge_into(PRODUCTION), Fault.PAUSE)
    with ThreadPoolExecutor(1) as pool:
        sleeper = pool.submit(show_settled, world.through(proxy.url), ACTOR)
        assert pause.arrived.wait(30)
        settle(world, "d1", snapshots[1])
        pause.release.set()
        assert sleeper.result() is True
    assert world.content(f"{PRODUCTION}@") == world.content(snapshots[1].commit_id)


@pytest.mark.parametrize("how", ["edited", "another snapshot", "reverted", "emptied"])
def test_reconcile_brings_production_back_after_a_hand_was_at_it(
    world: World, snapshots: list[Commit], how: str
) -> None:
    settle(world, "d0", snapshots[0])
    show_settled(world.stack, ACTOR)
    settle(world, "d1", snapshots[1])
    show_settled(world.stack, ACTOR)
    match how:
        case "edited":
            edit_production(world)
        case "another snapshot":
            world.lake.merge(snapshots[2].commit_id, PRODUCTION, "by hand")
        case "reverted":
            revert_head_by_hand(world, PRODUCTION)
        case "emptied":
            paths = [each.path for each in world.lake.list_objects(f"{PRODUCTION}@")]
            edit_by_hand(world.lake, PRODUCTION, lambda branch: world.lake.delete_objects(branch, paths))
    assert world.content(f"{PRODUCTION}@") != world.content(snapshots[1].commit_id)
    assert reconcile(world.stack) == ("production shows d1 again",)
    assert world.content(f"{PRODUCTION}@") == world.content(snapshots[1].commit_id)
    assert reconcile(world.stack) == ()


@pytest.mark.parametrize("behind", [1, 2, 5])
def test_lake_that_is_ahead_of_the_pointer_freezes_promotions_and_is_left_alone(
    world: World, snapshots: list[Commit], behind: int
) -> None:
    settle(world, "d0", snapshots[0])
    show_settled(world.stack, ACTOR)
    ahead = world.stack.ledger.pointer().generation + behind
    publish(world.stack, PRODUCTION, snapshots[1], generation=ahead)
    (found,) = reconcile(world.stack)
    assert f"generation {ahead}" in found
    assert "restored" in (world.stack.ledger.pointer().frozen or "")
    for _ in range(3):
        reconcile(world.stack)
        assert shows(world, PRODUCTION, snapshots[1])
    assert len(world.events("PromotionsFrozen")) == 1


@pytest.mark.parametrize("behind", [1, 5])
def test_person_who_unfreezes_a_restored_ledger_gets_what_it_says(
    world: World, snapshots: list[Commit], behind: int
) -> None:
    settle(world, "d0", snapshots[0])
    publish(world.stack, PRODUCTION, snapshots[1], generation=world.stack.ledger.pointer().generation + behind)
    reconcile(world.stack)
    swap(world, lambda pointer: plans.freeze(pointer, None))
    assert reconcile(world.stack) == ("production shows d0 again",)
    assert world.content(f"{PRODUCTION}@") == world.content(snapshots[0].commit_id)


def test_settled_commit_that_the_lake_lacks_freezes_and_leaves_production_alone(
    world: World, snapshots: list[Commit]
) -> None:
    settle(world, "d0", snapshots[0])
    show_settled(world.stack, ACTOR)
    gone = "0" * 64
    swap(
        world,
        lambda pointer: replace(
            pointer,
            generation=pointer.generation + 1,
            settled=gone,
            slots={"blue": plans.Slot("d1", gone), "green": plans.Slot()},
        ),
    )
    (found,) = reconcile(world.stack)
    assert gone[:12] in found
    assert world.stack.ledger.pointer().frozen
    assert shows_content(world, snapshots[0])


def shows_content(world: World, wanted: Commit) -> bool:
    return world.content(f"{PRODUCTION}@") == world.content(wanted.commit_id)


def leave_publication_open(world: World, proxy: Proxy, branch: str, act: Callable[[Stack], object]) -> str:
    proxy.add(merge_into(branch), Fault.CUT_BEFORE, times=None)
    with pytest.raises((errors.OutcomeUnknown, errors.LakeUnavailable)):
        act(world.through(proxy.url))
    proxy.heal()
    (intent,) = world.stack.ledger.open_intents()
    return intent.operation


@pytest.mark.parametrize("branch", [STAGING, f"{PRODUCTION}-blue"])
def test_reconcile_finishes_an_open_publication(
    world: World, snapshots: list[Commit], proxy: Proxy, branch: str
) -> None:
    operation = leave_publication_open(world, proxy, branch, lambda stack: publish(stack, branch, snapshots[0]))
    assert not world.content(f"{branch}@")
    assert reconcile(world.stack) == (f"publish {operation}: finished",)
    assert shows(world, branch, snapshots[0])
    assert world.intent_outcomes() == {operation: "done"}
    assert world.lake.list_branches("publish-") == ()


def test_reconcile_finishes_an_open_advance(world: World, queued: tuple[Run, ...], proxy: Proxy) -> None:
    candidate = candidate_of(world, *queued)
    leave_intent_open(world, proxy, candidate)
    assert reconcile(world.stack) == (f"advance {candidate.operation}: finished",)
    assert world.runs_in_main() == {run.run_id for run in queued}


def test_reconcile_finishes_several_open_intents_of_both_kinds(
    world: World, queued: tuple[Run, ...], snapshots: list[Commit], proxy: Proxy
) -> None:
    leave_intent_open(world, proxy, candidate_of(world, *queued))
    settle(world, "d0", snapshots[0])
    proxy.add(merge_into(PRODUCTION), Fault.CUT_BEFORE, times=None)
    with pytest.raises(errors.OutcomeUnknown):
        show_settled(world.through(proxy.url), ACTOR)
    assert [intent.kind for intent in world.stack.ledger.open_intents()] == ["advance", "publish"]
    assert [each.split(": ")[1] for each in reconcile(world.stack)] == ["finished", "finished"]
    assert shows_content(world, snapshots[0])
    assert world.runs_in_main() == {run.run_id for run in queued}
    assert world.stack.ledger.open_intents() == ()


def test_outdated_publication_is_dropped_not_finished(world: World, snapshots: list[Commit], proxy: Proxy) -> None:
    settle(world, "d0", snapshots[0])
    operation = leave_publication_open(world, proxy, PRODUCTION, lambda stack: show_settled(stack, ACTOR))
    settle(world, "d1", snapshots[1])
    before = world.lake.head(PRODUCTION)
    (found,) = finish_open_intents(world.stack, ACTOR)
    assert found == f"publish {operation}: dropped, the live pointer has moved on"
    assert world.lake.head(PRODUCTION) == before
    assert world.intent_outcomes()[operation] == "dropped"
    assert world.lake.list_branches("publish-") == ()
    assert reconcile(world.stack) == ("production shows d1 again",)
    assert shows_content(world, snapshots[1])


@pytest.mark.parametrize("when", ["before the new one is published", "after the new one is published"])
def test_outdated_publication_that_is_served_late_does_not_stay(
    world: World, snapshots: list[Commit], proxy: Proxy, when: str
) -> None:
    settle(world, "d0", snapshots[0])
    late = proxy.add(merge_into(PRODUCTION), Fault.LATE, times=None)
    with pytest.raises(errors.OutcomeUnknown):
        show_settled(world.through(proxy.url), ACTOR)
    settle(world, "d1", snapshots[1])
    finish_open_intents(world.stack, ACTOR)
    if when.startswith("after"):
        reconcile(world.stack)
    late.release.set()
    assert late.served.wait(30)
    reconcile(world.stack)
    assert shows_content(world, snapshots[1])
    assert reconcile(world.stack) == ()
