"""A ledger that was lost or is older than its lake is rebuilt from what the lake holds, and the day goes on."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dartifact.adapters.lakefs.lake import Lake
from dartifact.adapters.ledger.ledger import Ledger
from dartifact.cli.exit_codes import NOT_ALLOWED
from dartifact.commands.bond import find_break, hold_bond
from dartifact.commands.production.promote import promote
from dartifact.commands.production.resolution import resolve
from dartifact.commands.production.rollback import roll_back
from dartifact.commands.repair.adopt import adopt, plan_adoption
from dartifact.commands.staging.stage import stage
from dartifact.domain.dartifacts import Cause, DartifactState
from dartifact.domain.decisions import Decision
from dartifact.domain.errors import PolicyRefused, UsageError
from dartifact.domain.people import Role
from dartifact.domain.runs import Phase
from tests.conftest import Call
from tests.support.sources import bad_order, customer, order
from tests.support.world import World

WHY = Decision("person:ann", "the disk is gone")


@pytest.fixture
def full(named_world: World) -> World:
    """Return a world in which two dartifacts have served, a run has failed and one waits."""
    world = named_world
    world.place("customers", customer(1), customer(2))
    world.place("orders", order(1), order(2))
    deliver(world)
    world.place("customers", customer(3))
    deliver(world)
    world.bring("orders", order(3), bad_order(4))
    world.bring("customers", customer(5))
    return world


def deliver(world: World) -> None:
    stage(world.stack, actor="test")
    promote(world.stack, actor="test")


@contextlib.contextmanager
def with_ledger(world: World, url: str) -> Iterator[World]:
    """Return the world as a process sees it that opens another ledger."""
    with contextlib.closing(Ledger(url, world.clock)) as ledger:
        lake = Lake(world.lake.access, world.lake.repository)
        stack = replace(world.stack, ledger=ledger, lake=lake)
        hold_bond(stack)
        yield replace(world, stack=stack)


@pytest.mark.both_databases
def test_a_lost_ledger_is_rebuilt_and_data_flows_on(full: World, another_ledger_url: str) -> None:
    before = {run.run_id: run for run in full.stack.ledger.runs()}
    pointer, shown = full.stack.ledger.pointer(), resolve(full.stack).commit
    content, last = full.content(), full.stack.ledger.dartifacts()
    with with_ledger(full, another_ledger_url) as world:
        adoption = plan_adoption(world.stack)
        adopt(world.stack, adoption, WHY)
        assert find_break(world.stack) == ""
        ledger = world.stack.ledger
        after = {run.run_id: run for run in ledger.runs()}
        assert after.keys() == before.keys()
        waiting = (Phase.FAILED, Phase.QUEUED)
        assert {run.run_id: run.phase for run in after.values()} == {
            name: Phase.HELD if run.phase in waiting else run.phase for name, run in before.items()
        }
        for name, run in after.items():
            known, lost = run.window, before[name].window
            assert (known.seq, known.lo, known.hi, known.shard) == (lost.seq, lost.lo, lost.hi, lost.shard)
            assert (run.commit, run.rows, run.number) == (before[name].commit, before[name].rows, before[name].number)
        states = {found.dartifact_id: (found.state, found.commit, found.runs) for found in ledger.dartifacts()}
        assert states == {found.dartifact_id: (found.state, found.commit, found.runs) for found in last}
        assert [found.dartifact_id for found in ledger.dartifacts()] == [found.dartifact_id for found in last]
        now = ledger.pointer()
        assert (now.slots, now.weights, now.settled, now.live) == (
            pointer.slots,
            pointer.weights,
            pointer.settled,
            pointer.live,
        )
        assert now.generation > pointer.generation
        assert now.frozen == "taken in from the lake: the disk is gone"
        assert resolve(world.stack).commit == shown
        assert world.content() == content

        # the day goes on: the next window starts where the last one ended, held runs are decided on, rollback works
        run = world.land("customers", customer(6))
        assert run.window.seq > max(known.window.seq for known in before.values())
        assert run.number == max(known.number for known in before.values() if known.ingestor == run.ingestor) + 1
        assert roll_back(world.stack, None, Cause.parse(["unknown"]), reason="why", actor="ann").leaves == pointer.live
        assert world.integrate().candidates == 0


def test_an_older_copy_takes_in_only_what_it_lacks(named_world: World, tmp_path: Path) -> None:
    world = named_world
    world.place("customers", customer(1))
    deliver(world)
    copy = tmp_path / "copy.db"
    original = sqlite3.connect(world.stack.ledger.url.removeprefix("sqlite:///"))
    with contextlib.closing(original), contextlib.closing(sqlite3.connect(copy)) as target:
        original.backup(target)
    known = world.stack.ledger.runs()
    second = world.place("customers", customer(2))
    deliver(world)
    live = world.stack.ledger.pointer().live
    taken_out = world.place("customers", customer(3))
    world.request_revert(taken_out)
    world.integrate()
    with with_ledger(world, f"sqlite:///{copy}") as older:
        adoption = plan_adoption(older.stack)
        assert [run.run_id for run in adoption.runs] == [second.run_id, taken_out.run_id]
        adopt(older.stack, adoption, WHY)
        ledger = older.stack.ledger
        assert {run.run_id: run.phase for run in ledger.runs()} == {
            **{run.run_id: Phase.LIVE for run in known},
            second.run_id: Phase.LIVE,
            taken_out.run_id: Phase.HELD,
        }
        assert ledger.pointer().live == live
        states = [found.state for found in ledger.dartifacts()]
        assert sorted(states) == [DartifactState.LIVE, DartifactState.SUPERSEDED]
        assert ledger.find_broken_event() is None
        assert older.land("customers", customer(4)).phase is Phase.MERGED


def test_nothing_is_taken_in_where_everything_fits(full: World) -> None:
    adoption = plan_adoption(full.stack)
    assert not adoption
    assert full.integrate().merged


def test_a_reviewer_may_not_and_a_reason_is_needed(full: World, tmp_path: Path) -> None:
    with with_ledger(full, f"sqlite:///{tmp_path / 'new.db'}") as world:
        adoption = plan_adoption(world.stack)
        with pytest.raises(UsageError, match="a reason is required"):
            adopt(world.stack, adoption, Decision("ann", " "))
        with pytest.raises(PolicyRefused, match="a reviewer may not"):
            adopt(replace(world.stack, role=Role.REVIEWER), adoption, WHY)
        assert world.stack.ledger.runs() == ()


def test_the_verb_shows_first_and_asks(
    full: World, call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DARTIFACT_LEDGER_URL", f"sqlite:///{tmp_path / 'new.db'}")
    code, said, why = call("adopt")
    assert code == NOT_ALLOWED
    assert "belongs to the ledger" in said
    assert "5 runs: 3 live, 2 held" in said
    assert "2 dartifacts:" in said
    assert "the lake cannot tell:" in said
    assert "repeat with --reason WHY --yes" in why
    assert json.loads(call("runs", "-o", "json")[1]) == []
    code, said, why = call("adopt", "--reason", "the disk is gone", "--yes", "-o", "json")
    assert code == 0, why
    assert len(json.loads(said)["runs"]) == 5
    assert call("integrate")[0] == 0
    assert call("adopt")[1].strip() == "lake and ledger fit together and main is tested: there is nothing to take in"
    assert json.loads(call("status", "-o", "json")[1])["main"]["tested"] is True


@pytest.mark.parametrize("before", ["write_ledger_id", "bind"])
def test_an_adoption_that_was_killed_half_way_is_done_again(
    full: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str
) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    url = f"sqlite:///{tmp_path / 'new.db'}"
    with with_ledger(full, url) as world:
        broken = world.lake if before == "write_ledger_id" else world.stack.ledger
        monkeypatch.setattr(type(broken), before, die)
        with pytest.raises(KeyboardInterrupt):
            adopt(world.stack, plan_adoption(world.stack), WHY)
        monkeypatch.undo()
    with with_ledger(full, url) as world:
        if adoption := plan_adoption(world.stack):
            assert (adoption.runs, adoption.dartifacts) == ((), ())
            adopt(world.stack, adoption, WHY)
        assert find_break(world.stack) == ""
        assert len(world.stack.ledger.runs()) == 5
        assert world.land("customers", customer(6)).phase is Phase.MERGED
