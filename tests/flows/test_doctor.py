"""The doctor changes nothing, and says of each configuration and fault what is true."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from dartifact.adapters.lakefs.examination import LakeExamination
from dartifact.adapters.lakefs.lake import LakeAccess
from dartifact.adapters.ledger.ledger import Ledger
from dartifact.commands.bond import hold_bond
from dartifact.commands.stops import pause, stop_line
from dartifact.commands.upkeep.doctor import Configuration, Finding, Orchestrator, examine
from dartifact.domain import plans
from dartifact.domain.runs import Phase
from dartifact.project import load_each_source
from tests.conftest import PROJECT, Call
from tests.support.sources import bad_order, customer
from tests.support.world import World

URLS = {"customers": "https://user:secret@crm.example/api?token=secret", "orders": "https://shop.example"}
REMOTE = "https://prefect.example/api"
LOCAL = "http://127.0.0.1:4200/api"
POSTGRES = "postgresql+psycopg://user:secret@db.example/ledger"


@pytest.fixture
def place(tmp_path: Path) -> Configuration:
    """Return a new machine: no home, no ledger, no lake."""
    home = tmp_path / "home"
    return Configuration(PROJECT, home, f"sqlite:///{home / 'ledger.db'}", "dartifact", source_urls=URLS)


def look(
    place: Configuration,
    what: str,
    access: LakeAccess | None = None,
    orchestrator: Orchestrator | None = None,
    **options: object,
) -> Finding:
    """Return one finding of the doctor's."""

    def open_access() -> AbstractContextManager[LakeAccess] | None:
        return contextlib.nullcontext(access) if access else None

    findings = examine(
        place,
        open_access=open_access,
        load_sources=lambda: load_each_source(PROJECT),
        find_orchestrator=lambda: orchestrator,
        **options,  # type: ignore[arg-type]
    )
    return next(each for each in findings if each.what == what)


def of(world: World) -> Configuration:
    return Configuration(PROJECT, world.stack.home, world.stack.ledger.url, world.lake.repository, source_urls=URLS)


def heads_of(world: World) -> dict[str, str]:
    return {branch: world.lake.head(branch).commit_id for branch in world.lake.list_branches("")}


# Nothing is changed


def test_on_a_new_machine_everything_is_well_and_nothing_is_made(place: Configuration) -> None:
    found = {what: look(place, what) for what in ("disk", "sources", "orchestrator", "ledger", "lake")}
    assert [each for each in found.values() if not each.ok] == []
    assert "there is no ledger in sqlite:///" in found["ledger"].found
    assert found["lake"].found == "none on this machine yet; the first command that needs one sets it up"
    assert not place.home.exists()


def test_the_verb_makes_no_home(call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("dartifact.cli.actions.doctor.find_pool", lambda *_, **__: None)
    monkeypatch.setenv("DARTIFACT_HOME", str(tmp_path / "new"))
    monkeypatch.setenv("DARTIFACT_SOURCE_URLS", json.dumps(URLS))
    code, said, why = call("doctor", "-o", "json")
    assert code == 0, said
    assert not (tmp_path / "new").exists()
    assert "secret" not in said + why


@pytest.mark.both_databases
def test_a_ledger_and_a_lake_in_use_are_left_as_they_are(world: World) -> None:
    hold_bond(world.stack)
    world.place("customers", customer(1))
    heads = heads_of(world)
    last = world.stack.ledger.last_event()
    for what in ("ledger", "runs", "lake"):
        finding = look(of(world), what, world.lake.access, clock=world.clock)
        assert finding.ok, finding
    assert heads_of(world) == heads
    assert world.stack.ledger.last_event() == last


@pytest.mark.both_databases
def test_a_database_without_a_ledger_is_left_empty(place: Configuration, ledger_url: str) -> None:
    place = replace(place, ledger_url=ledger_url)
    for _ in range(2):
        assert "the first command makes one" in look(place, "ledger").found


# The lake


def test_a_repository_that_is_not_there_is_not_made(place: Configuration, lakefs: LakeAccess) -> None:
    place = replace(place, repository="never-made", lake_url=lakefs.url)
    finding = look(place, "lake", lakefs)
    assert finding.ok
    assert "no repository never-made on" in finding.found
    assert not LakeExamination(lakefs, "never-made").has_repository()


def test_a_repository_that_could_not_be_made_is_said_with_what_the_store_takes(
    place: Configuration, lakefs: LakeAccess
) -> None:
    finding = look(replace(place, repository="never-made", storage_namespace="s3://lake/x"), "lake", lakefs)
    assert not finding.ok
    assert "its objects cannot be kept at s3://lake/x; the lake keeps them in local, local://" in finding.found
    assert finding.advice == "set DARTIFACT_STORAGE_NAMESPACE"


def test_a_lake_on_s3_takes_the_namespace_that_is_set_and_asks_for_one(
    place: Configuration, lakefs: LakeAccess, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = type("Store", (), {"blockstore_type": "s3", "blockstore_namespace_example": "s3://example-bucket/"})
    store.blockstore_namespace_validity_regex = "^s3://"  # type: ignore[attr-defined]
    answer = type("Config", (), {"storage_config": store})
    monkeypatch.setattr("lakefs_sdk.api.config_api.ConfigApi.get_config", named(lambda *_, **__: answer))
    place = replace(place, repository="never-made")
    assert look(replace(place, storage_namespace="s3://lake/dartifact"), "lake", lakefs).ok
    finding = look(place, "lake", lakefs)
    assert not finding.ok
    assert "nobody has said where to keep its objects; the lake keeps them in s3, s3://example" in finding.found


def named(call: Callable[..., object]) -> Callable[..., object]:
    call.__name__ = "get_config"
    return call


def test_a_branch_that_is_not_protected_is_said_and_left(world: World) -> None:
    api = world.lake._calls.repositories_api
    world.lake._calls.write("rules", api.set_branch_protection_rules, [])
    for _ in range(2):
        finding = look(of(world), "lake", world.lake.access)
        assert (finding.ok, finding.found) == (False, "branch main is not protected")
        assert "dartifact status" in finding.advice


def test_a_missing_branch_is_said_and_left(world: World) -> None:
    world.lake._calls.write("rules", world.lake._calls.repositories_api.set_branch_protection_rules, [])
    world.lake.delete_branch("production-blue")
    for _ in range(2):
        assert look(of(world), "lake", world.lake.access).found == "branch production-blue is not there"


def test_a_lost_or_foreign_ledger_is_said_before_anything_is_written(world: World, tmp_path: Path) -> None:
    hold_bond(world.stack)
    world.place("customers", customer(1))
    other = replace(of(world), ledger_url=f"sqlite:///{tmp_path / 'lost.db'}")
    finding = look(other, "lake", world.lake.access)
    assert not finding.ok
    assert "belongs to the ledger" in finding.found
    assert "and there is none" in finding.found
    assert not (tmp_path / "lost.db").exists()
    Ledger(other.ledger_url).close()
    finding = look(other, "lake", world.lake.access)
    assert not finding.ok
    assert "it is new, or that of another lake" in finding.found
    assert "dartifact adopt" in finding.advice


# The ledger and its runs


def test_what_people_have_stopped_is_told_and_no_fault(world: World) -> None:
    ledger = world.stack.ledger
    with ledger.write() as tx:
        frozen = plans.freeze(ledger.pointer(), "rolled back")
        tx.production.swap_pointer(ledger.pointer(), frozen, "PromotionsFrozen", "ann")
    stop_line(world.stack, reason="a bad day", actor="ann")
    finding = look(of(world), "ledger")
    assert finding.ok
    assert "promotions are frozen: rolled back; the line is paused by ann: a bad day" in finding.found


def test_an_operation_that_was_left_open_is_a_fault(world: World) -> None:
    with world.stack.ledger.write() as tx:
        tx.intents.open("abc", "advance", {"lands": []})
    finding = look(of(world), "ledger")
    assert (finding.ok, finding.found) == (False, "1 operations were left open, the oldest is advance abc")


def test_an_older_ledger_is_named_and_not_migrated(world: World) -> None:
    with world.stack.ledger.write() as tx:
        tx.runs._tx.execute(sa.text("UPDATE schema_version SET version = 6"))
    for _ in range(2):
        assert "older schema version 6" in look(of(world), "ledger").found


@pytest.fixture
def waiting(world: World) -> World:
    """Return a world in which a run has been in the queue for two hours."""
    world.bring("customers", customer(1))
    world.clock.advance(timedelta(hours=2))
    return world


def test_a_queue_that_nobody_moves_is_a_fault(waiting: World) -> None:
    [run] = waiting.stack.ledger.runs()
    finding = look(of(waiting), "runs", clock=waiting.clock)
    assert not finding.ok
    assert finding.found.startswith(f"1 runs have not moved for more than an hour; {run.run_id} is queued since")
    assert look(of(waiting), "runs", clock=lambda: waiting.clock() - timedelta(hours=1, minutes=30)).ok


@pytest.mark.parametrize("stop", [stop_line, pause])
def test_a_queue_that_a_person_has_paused_is_none(waiting: World, stop: Callable[..., object]) -> None:
    [run] = waiting.stack.ledger.runs()
    named = () if stop is stop_line else (run.ingestor,)
    stop(waiting.stack, *named, reason="a bad day", actor="ann")
    assert look(of(waiting), "runs", clock=waiting.clock).ok


def test_a_run_whose_attempts_fail_is_a_fault_at_once(world: World) -> None:
    run = world.bring("customers", customer(1))
    with world.stack.ledger.write() as tx:
        tx.runs.note_attempt(run.run_id, "policy:integrate", "the ledger refuses this")
    finding = look(of(world), "runs", clock=world.clock)
    assert (finding.ok, finding.found) == (
        False,
        f"attempts of {run.run_id} have failed: the ledger refuses this",
    )


def test_runs_that_have_landed_or_wait_for_a_person_are_none(world: World) -> None:
    world.place("customers", customer(1))
    assert world.bring("orders", bad_order(1)).phase is Phase.FAILED
    world.clock.advance(timedelta(hours=2))
    assert look(of(world), "runs", clock=world.clock).ok


def test_a_missing_driver_is_named(place: Configuration, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    finding = look(replace(place, ledger_url="postgresql://user:secret@127.0.0.1:9/x"), "ledger")
    assert (finding.ok, finding.advice) == (False, "pip install 'dartifact[postgres]'")


# Sources


def test_each_source_is_told_with_its_place_and_without_its_secrets(place: Configuration) -> None:
    assert look(place, "sources").found == "customers at https://crm.example, orders at https://shop.example"


@pytest.mark.parametrize(
    ("change", "ok", "found"),
    [
        ({"source_urls": {}}, False, "no URL is set for customers, orders"),
        ({"source_urls": {"orders": "https://shop.example"}}, False, "no URL is set for customers"),
        ({"source_urls": {}, "has_stand_in": True}, True, "customers at the simulated company"),
        (
            {"source_urls": {}, "has_stand_in": True, "lake_url": "https://lake.example"},
            False,
            "customers, orders would be asked of the simulated company, for the lake https://lake.example",
        ),
    ],
)
def test_a_source_that_nobody_has_said_the_place_of_is_a_fault(
    place: Configuration, change: dict[str, object], ok: bool, found: str
) -> None:
    finding = look(replace(place, **change), "sources")  # type: ignore[arg-type]
    assert finding.ok is ok
    assert found in finding.found


# The orchestrator

SHARED = {"lake_url": "https://lake.example", "ledger_url": POSTGRES}


@pytest.mark.parametrize(
    ("found", "change", "fault"),
    [
        (None, {}, ""),
        (Orchestrator(LOCAL, "process"), {}, ""),
        (Orchestrator(LOCAL, None), {}, ""),
        (Orchestrator(REMOTE, "process"), SHARED, ""),
        (Orchestrator(REMOTE, "docker"), SHARED | {"image": "company/dartifact"}, ""),
        (Orchestrator(REMOTE, "ecs:push", workers=0), SHARED | {"image": "company/dartifact"}, ""),
        (Orchestrator(REMOTE, "process"), {}, "cannot reach a lake of this machine"),
        (Orchestrator(REMOTE, "process"), SHARED | {"lake_url": "http://127.0.0.1:8000"}, "cannot reach a lake"),
        (Orchestrator(REMOTE, "process"), {"lake_url": "https://lake.example"}, "cannot share a SQLite ledger"),
        (
            Orchestrator(REMOTE, "process"),
            SHARED | {"ledger_url": "postgresql://user:secret@localhost/ledger"},
            "cannot reach a ledger of this machine",
        ),
        (Orchestrator(REMOTE, "docker"), SHARED, "need an image"),
        (Orchestrator(LOCAL, "kubernetes"), SHARED, "need an image"),
        (Orchestrator(LOCAL, "process", workers=0), {}, "no worker is online"),
        (Orchestrator(LOCAL, "process", automations=1), {}, "nothing there ends flow runs that have lost"),
        (Orchestrator(REMOTE, None, fault="the Prefect server at x does not answer"), SHARED, "does not answer"),
    ],
)
def test_an_orchestrator_whose_flow_runs_could_not_work_is_a_fault(
    place: Configuration, found: Orchestrator | None, change: dict[str, object], fault: str
) -> None:
    finding = look(replace(place, **change), "orchestrator", orchestrator=found)  # type: ignore[arg-type]
    assert finding.ok is not bool(fault), finding
    assert fault in finding.found
    assert bool(finding.advice) is bool(fault)
    assert "secret" not in finding.found + finding.advice
