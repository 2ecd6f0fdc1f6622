"""Whether `main` is tested, after everything that can happen to it: what the ledger says, and what the lake says."""

from __future__ import annotations

import pytest

from dartifact.adapters.lakefs.lake import MAIN
from dartifact.commands.queue import candidates, main_head
from dartifact.commands.queue.candidates import MainUntested, build_candidate
from dartifact.commands.queue.tested import MainState, is_main_tested
from dartifact.commands.staging import stage as staging
from dartifact.documents.status import describe_status
from dartifact.domain import errors
from dartifact.domain.checks import judge
from dartifact.domain.queue import CandidatePlan
from dartifact.domain.runs import Phase, Run
from tests.support.sources import customer
from tests.support.world import ACTOR, World, edit_by_hand, green


def known(world: World) -> MainState:
    """Return what is said without the lake; it has to be what the head of the lake says."""
    state = is_main_tested(world.stack.ledger)
    assert state == is_main_tested(world.stack.ledger, world.head)
    assert describe_status(world.stack)["main"]["tested"] is state.is_tested
    return state


def last(world: World) -> str:
    return next(each.type for each in reversed(world.events()) if each.type.startswith("Main"))


def merge_by_hand(world: World, run: Run) -> str:
    assert run.commit is not None
    return world.lake.merge(run.commit, MAIN, "by hand")


def spoil_by_hand(world: World) -> str:
    return edit_by_hand(world.lake, MAIN, lambda branch: world.lake.upload(branch, "README.md", b"mine"))


def advance_into_a_merge_by_hand(world: World) -> None:
    """Let rubbish be merged by hand while a tested candidate is merged."""
    candidate = build_candidate(world.stack, CandidatePlan((world.bring("customers", customer(2)),)), world.head)
    report = green(candidate.commit)
    with world.stack.ledger.write() as tx:
        tx.reports.save(report, judge(report.results))
    spoil_by_hand(world)
    with pytest.raises(MainUntested):
        candidates.advance(world.stack, candidate, report, ACTOR)


def test_an_empty_main_is_tested(world: World) -> None:
    assert known(world) == MainState(True)


def test_main_is_tested_after_it_was_advanced(world: World) -> None:
    world.land("customers", customer(1))
    state = known(world)
    assert last(world) == "MainAdvanced"
    assert (bool(state), state.commit, state.since, state.why) == (True, world.head.commit_id, world.clock(), "")


def test_main_is_untested_after_a_merge_by_hand_got_under_a_candidate(world: World) -> None:
    world.land("customers", customer(1))
    advance_into_a_merge_by_hand(world)
    state = known(world)
    assert last(world) == "MainUntested"
    assert not state
    assert state.why == f"commit {world.head.commit_id[:12]} mixes a candidate with a merge by hand"


def test_a_repaired_main_is_tested_once_the_repair_is_in(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.land("customers", customer(1))
    advance_into_a_merge_by_hand(world)
    said: dict[str, bool] = {}
    merge = candidates.advance

    def look_and_advance(*args: object) -> str:
        said.setdefault(last(world), bool(is_main_tested(world.stack.ledger)))
        return merge(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(candidates, "advance", look_and_advance)
    world.integrate()
    assert said == {"MainRepaired": False}
    assert known(world)


def test_main_is_untested_from_when_it_is_found_until_its_head_has_passed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.land("customers", customer(1))
    merged = merge_by_hand(world, world.bring("customers", customer(2)))
    assert is_main_tested(world.stack.ledger), "the ledger has not heard of it"
    assert is_main_tested(world.stack.ledger, world.head).why == f"commit {merged[:12]} was made by hand"

    def stop(*_: object) -> None:
        raise errors.LakeUnavailable("gone")

    with monkeypatch.context() as patch:
        patch.setattr(main_head, "check_candidate", stop)
        with pytest.raises(errors.LakeUnavailable):
            world.integrate()
    state = known(world)
    assert last(world) == "MainFoundUntested"
    assert (bool(state), state.commit, state.why) == (False, merged, f"commit {merged[:12]} was made by hand")
    with pytest.raises(errors.Conflict, match="was made by hand"):
        staging.stage(world.stack, actor=ACTOR)
    world.integrate()
    assert last(world) == "MainAdopted"
    assert known(world)


def test_the_first_rows_of_main_can_be_adopted(world: World) -> None:
    merged = merge_by_hand(world, world.bring("customers", customer(1)))
    world.integrate()
    state = known(world)
    assert last(world) == "MainAdopted"
    assert (bool(state), state.commit, state.since) == (True, merged, world.clock())


def test_main_is_tested_after_somebody_has_brought_tested_content_back(world: World) -> None:
    world.land("customers", customer(1))
    advance_into_a_merge_by_hand(world)
    edit_by_hand(world.lake, MAIN, lambda branch: world.lake.delete_objects(branch, ["README.md"]))
    assert is_main_tested(world.stack.ledger, world.head)
    assert not is_main_tested(world.stack.ledger), "the ledger has not heard of it"
    world.integrate()
    assert known(world)
    assert last(world) == "MainAdopted"
    assert world.keys("customers") == ["C000001", "C000002"]
    assert world.runs_in_main() == {each.run_id for each in world.stack.ledger.runs(phases=(Phase.MERGED,))}
    count = len(world.events())
    world.integrate()
    assert len(world.events()) == count, "it is taken in once"
