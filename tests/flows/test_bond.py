"""Lake and ledger are bound: a ledger that does not know what its lake shows changes nothing."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from dartifact.adapters.lakefs.lake import MAIN, Lake
from dartifact.adapters.ledger.ledger import Ledger
from dartifact.commands.bond import find_break, hold_bond
from dartifact.commands.production.promote import promote
from dartifact.commands.queue.integrate import integrate
from dartifact.commands.repair.reconcile import reconcile
from dartifact.commands.staging.stage import stage
from dartifact.domain.errors import ForeignLedger
from tests.conftest import Call
from tests.support.sources import customer
from tests.support.world import World

WRITES = (
    ("integrate",),
    ("stage",),
    ("promote",),
    ("rollback", "--reason", "why"),
    ("freeze", "--reason", "why"),
    ("reject", "RUN", "--reason", "why"),
    ("fix", "RUN", "--reason", "why"),
    ("open", "--dataset", "customers", "--reason", "why"),
    ("pause", "--all", "--reason", "why"),
)

WITHOUT_LAKE = ("freeze", "open", "pause")


@pytest.fixture
def full(named_world: World) -> World:
    """Return a world whose lake holds two runs, bound to its ledger."""
    named_world.place("customers", customer(1), customer(2))
    named_world.place("customers", customer(3))
    return named_world


def forget(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """Name a new ledger in front of the lake, as after `rm ledger.db`; return its URL."""
    url = f"sqlite:///{tmp_path / 'new.db'}"
    monkeypatch.setenv("DARTIFACT_LEDGER_URL", url)
    return url


@pytest.mark.parametrize("verb", WRITES, ids=lambda verb: verb[0])
def test_a_new_ledger_in_front_of_a_full_lake_writes_nothing(
    full: World, call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, verb: tuple[str, ...]
) -> None:
    before = full.lake.head(MAIN)
    run = full.stack.ledger.runs()[0].run_id
    forget(full, monkeypatch, tmp_path)
    code, said, why = call(*(run if word == "RUN" else word for word in verb))
    assert code != 0, said
    if verb[0] not in ("reject", "fix", "rollback"):  # these find nothing to act on first
        assert ("belongs to the ledger" in why) is not (verb[0] in WITHOUT_LAKE)
        assert code == 5
    assert full.lake.head(MAIN) == before
    assert full.keys("customers") == ["C000001", "C000002", "C000003"]


def test_reads_go_on_with_a_new_ledger(
    full: World, call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    forget(full, monkeypatch, tmp_path)
    code, said, why = call("status", "-o", "json")
    assert code == 0, why
    assert json.loads(said)["main"]["tested"] is False
    assert call("runs")[0] == 0


def test_resolve_answers_whatever_ledger_stands_in_front_of_the_lake(full: World, call: Call) -> None:
    stage(full.stack, actor="test")
    promote(full.stack, actor="test")
    commit = json.loads(call("resolve", "-o", "json")[1])["commit"]
    full.stack.lake.write_ledger_id("another")
    assert json.loads(call("resolve", "--consumer", "bi", "-o", "json")[1])["commit"] == commit


def test_an_older_copy_of_the_ledger_is_refused(named_world: World, tmp_path: Path) -> None:
    world = named_world
    world.place("customers", customer(1))
    copy = tmp_path / "copy.db"
    original = sqlite3.connect(world.stack.ledger.url.removeprefix("sqlite:///"))
    with contextlib.closing(original), contextlib.closing(sqlite3.connect(copy)) as target:
        original.backup(target)
    world.place("customers", customer(2))
    world.stack.ledger.close()
    older = Ledger(f"sqlite:///{copy}", world.clock)
    stack = world_of(world, older).stack
    assert "which this ledger does not know" in find_break(stack)
    hold_bond(stack)
    with pytest.raises(ForeignLedger, match="restored from an older copy"):
        integrate(stack, actor="test")
    reconcile(stack)  # looks only
    assert world.keys("customers") == ["C000001", "C000002"]
    older.close()


@pytest.mark.both_databases
def test_an_empty_lake_is_bound_to_the_first_ledger_and_to_no_other(world: World, another_ledger_url: str) -> None:
    assert world.lake.read_ledger_id() == ""
    hold_bond(world.stack)
    assert world.lake.read_ledger_id() == world.stack.ledger.ledger_id
    other = Ledger(another_ledger_url)
    assert world.stack.ledger.ledger_id[:12] in find_break(world_of(world, other).stack)
    other.close()


@pytest.mark.both_databases
def test_a_lake_of_an_earlier_version_is_bound_once_its_ledger_knows_what_it_shows(world: World) -> None:
    world.place("customers", customer(1))
    assert world.lake.read_ledger_id() == ""
    hold_bond(world.stack)
    assert world.lake.read_ledger_id() == world.stack.ledger.ledger_id
    world.land("customers", customer(2))


@pytest.mark.parametrize(
    "write",
    [
        lambda world: world.lake.create_branch("x", MAIN),
        lambda world: world.lake.upload("run-x", "a", b""),
        lambda world: world.lake.delete_branch("run-x"),
    ],
)
def test_no_write_of_the_lake_gets_past_the_bond(world: World, write: Callable[[World], object]) -> None:
    world.lake.create_branch("run-x", MAIN)
    world.lake.write_ledger_id("another")
    hold_bond(world.stack)
    with pytest.raises(ForeignLedger):
        write(world)


def world_of(world: World, ledger: Ledger) -> World:
    """Return the world with another ledger, as another process would open it."""
    lake = Lake(world.lake.access, world.lake.repository)
    return replace(world, stack=replace(world.stack, ledger=ledger, lake=lake))
