"""Hidden branches on a real lakeFS server: which are swept, when, and which never."""

from __future__ import annotations

from datetime import timedelta

import pytest

from dartifact.adapters.lakefs.lake import MAIN, Lake
from dartifact.cli.text.show import format_record
from dartifact.commands.gates.failing_rows import evidence_branch
from dartifact.commands.leases import hold_lease
from dartifact.commands.queue import candidates
from dartifact.commands.repair import reconcile as reconciliation
from dartifact.commands.repair.reconcile import reconcile, sweep_branches
from dartifact.documents.records import describe_one
from dartifact.domain.queue import CandidatePlan
from dartifact.domain.runs import Phase
from tests.support.sources import bad_customer, customer, order
from tests.support.world import World, green

HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)
KINDS = ("candidate-", "publish-", "build-d1234-")


class Killed(BaseException):
    """What no cleaning up survives, as a killed process."""


def kill_half_way(world: World, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let a process die while it builds a candidate; return the branch that it leaves."""

    def die(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as context:
        context.setattr(Lake, "upload", die)  # of the fence: the last thing that is written
        context.setattr(Lake, "delete_branch", lambda *_: None)
        with pytest.raises(Killed):
            world.integrate()
    (branch,) = world.lake.list_branches("candidate-")
    return branch


def test_branch_of_a_killed_integrator_is_swept_an_hour_after_it_was_seen(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = world.bring("customers", customer(1))
    branch = kill_half_way(world, monkeypatch)
    world.tick(timedelta(days=1))  # nobody has looked: nobody knows how old it is
    assert reconcile(world.stack) == ()
    world.tick(HOUR - SECOND)
    assert reconcile(world.stack) == ()
    assert world.lake.list_branches("candidate-") == (branch,)
    world.tick(SECOND)
    assert reconcile(world.stack) == (f"{branch}: swept, a leftover",)
    assert world.lake.list_branches("candidate-") == ()
    assert len(world.events("LeftoverNoted")) == len(world.events("BranchSwept")) == 1
    assert world.integrate().merged == [run.run_id]


@pytest.mark.parametrize("kind", KINDS)
def test_leftover_of_each_kind_is_swept(world: World, kind: str) -> None:
    branch = f"{kind}0123456789abcdef"
    world.lake.create_branch(branch, MAIN)
    reconcile(world.stack)
    world.tick(HOUR)
    assert reconcile(world.stack) == (f"{branch}: swept, a leftover",)


@pytest.mark.parametrize(("kind", "lease"), [("candidate-", "integrate"), ("build-d1234-", "stage")])
def test_branch_of_a_station_at_work_is_left_alone(world: World, kind: str, lease: str) -> None:
    branch = f"{kind}0123456789abcdef"
    world.lake.create_branch(branch, MAIN)
    with hold_lease(world.stack.ledger, lease):
        reconcile(world.stack)
        assert world.events("LeftoverNoted") == []
    reconcile(world.stack)
    world.tick(2 * HOUR)
    with hold_lease(world.stack.ledger, lease):
        assert reconcile(world.stack) == ()
    assert world.lake.list_branches(kind) == (branch,)
    with world.stack.ledger.write() as tx:
        tx.leases.take(lease, "elsewhere/1/1/1", -1)  # it ran out
    assert len(reconcile(world.stack)) == 1


def test_branch_that_an_open_intent_names_is_left_alone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    run = world.bring("customers", customer(1))
    candidate = candidates.build_candidate(world.stack, CandidatePlan((run,)), world.head)
    reconcile(world.stack)
    world.tick(2 * HOUR)

    def die(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as context:
        for room in (candidates, reconciliation):
            context.setattr(room, "finish_advance", die)
        with pytest.raises(Killed):
            candidates.advance(world.stack, candidate, green(candidate.commit), "test")
        with pytest.raises(Killed):
            reconcile(world.stack)  # which cannot finish it either
    assert sweep_branches(world.stack, "test") == ()
    assert world.lake.list_branches("candidate-") == (candidate.branch,)


def test_branches_that_are_not_of_our_making_are_left_alone(world: World) -> None:
    world.lake.create_branch("build-models", MAIN, hidden=False)
    reconcile(world.stack)
    world.tick(timedelta(days=30))
    assert reconcile(world.stack) == ()
    assert world.lake.has_branch("build-models")


def test_refused_candidate_stays_until_its_retention_ends_and_show_names_it(world: World) -> None:
    world.with_policy(candidate_retention=timedelta(days=2))
    world.leave_out_local_gate("customers")
    bad, good = world.bring("customers", bad_customer(1)), world.bring("customers", customer(2))
    world.integrate()
    (branch,) = world.lake.list_branches("candidate-")
    assert world.runs_in_main(f"{branch}@") == {bad.run_id, good.run_id}
    for run in (bad, good):
        (refused,) = describe_one(world.stack, run.run_id)["refused_in"]
        assert (refused["branch"], refused["kept"], refused["others"]) == (branch, True, 1)
        assert f"refused in {branch} with 1 others: customers.segment" in format_record(
            describe_one(world.stack, run.run_id)
        )
    world.tick(timedelta(days=2) - SECOND)
    assert reconcile(world.stack) == ()
    world.tick(SECOND)
    assert reconcile(world.stack) == (f"{branch}: swept, its retention is over",)
    assert world.lake.list_branches("candidate-") == ()
    assert "no longer stored" in format_record(describe_one(world.stack, bad.run_id))


def test_candidate_that_only_says_that_a_run_still_waits_is_not_kept(world: World) -> None:
    early = world.bring("orders", order(1, of=2))
    assert world.integrate().held == [early.run_id]
    kept = world.lake.list_branches("candidate-")
    assert len(kept) == 1
    world.tick()
    assert world.integrate().candidates == 1
    assert world.lake.list_branches("candidate-") == kept
    assert len(world.events("CandidateRefused")) == 1


def test_evidence_goes_when_its_run_has_been_in_main_for_the_retention(world: World) -> None:
    world.with_policy(candidate_retention=timedelta(days=2))
    run, other = world.bring("customers", bad_customer(1)), world.bring("customers", bad_customer(2))
    world.tick(timedelta(days=30))
    assert reconcile(world.stack) == ()  # nobody has looked at them yet
    world.fix(run, customer(1))
    assert world.integrate().merged == [run.run_id]
    world.tick(timedelta(days=2) - SECOND)
    assert reconcile(world.stack) == ()
    world.tick(SECOND)
    branch = evidence_branch(run.run_id)
    assert reconcile(world.stack) == (f"{branch}: swept, the run is merged and its retention is over",)
    assert world.lake.list_branches("evidence-") == (evidence_branch(other.run_id),)
    (swept,) = world.events("BranchSwept")
    assert (swept.run_id, swept.payload["branch"]) == (run.run_id, branch)
    assert reconcile(world.stack) == ()


def test_evidence_against_a_rejected_run_goes_against_a_reverted_one_stays(world: World) -> None:
    rejected, reverted = world.bring("customers", bad_customer(1)), world.bring("customers", bad_customer(2))
    world.fix(reverted, customer(2))
    assert world.integrate().merged == [reverted.run_id]
    world.request_revert(reverted)
    world.integrate()
    with world.stack.ledger.write() as tx:
        tx.runs.move(rejected.run_id, Phase.REJECTED, "RunRejected", "test", expect=Phase.FAILED)
    world.lake.create_branch("evidence-of-nothing", MAIN)  # not of our making
    world.tick(timedelta(days=30))
    assert len(reconcile(world.stack)) == 1
    assert world.lake.list_branches("evidence-") == (evidence_branch(reverted.run_id), "evidence-of-nothing")
