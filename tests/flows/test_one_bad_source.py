"""One bad row, name, contract or source stops its own run and nobody else."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from dartifact.commands.gates import batch as batch_gate
from dartifact.commands.gates import drift, integration
from dartifact.commands.gates import local as local_gate
from dartifact.commands.ingest import extraction
from dartifact.commands.ingest import ingest as ingests
from dartifact.commands.leases import hold_lease
from dartifact.commands.review import decide
from dartifact.domain import errors
from dartifact.domain.decisions import Decision
from dartifact.domain.marks import show_values
from dartifact.domain.runs import Phase, Run
from tests.support.sources import customer, order
from tests.support.world import World

WHY = Decision("ann", "not needed")


def try_to_bring(world: World, dataset: str, *rows: dict[str, Any]) -> Run:
    """Bring rows and return the newest run of the dataset, whatever was raised."""
    with contextlib.suppress(errors.DartifactError):
        world.bring(dataset, *rows)
    return world.stack.ledger.runs(source=dataset)[0]


def bugs() -> Iterator[Exception]:
    """Return errors as bugs raise them, ours and those of what we stand on."""
    return itertools.cycle(
        [
            ZeroDivisionError("division by zero"),
            duckdb.BinderException('Referenced column "updated_at" not found'),
            KeyError("id"),
            UnicodeDecodeError("utf-8", b"x", 0, 1, "invalid start byte"),
            OSError(28, "No space left on device"),
            RecursionError("maximum recursion depth exceeded"),
        ]
    )


STEPS: list[tuple[Any, str]] = [
    (extraction, "_fetch"),
    (extraction, "build_batch"),
    (extraction, "_drop_repeated"),
    (extraction, "_commit_batch"),
    (extraction, "_end_extraction"),
    (ingests, "check_run"),
    (ingests, "check_batch"),
    (ingests, "keep_failing_rows"),
    (ingests, "request_merge"),
    (local_gate, "check_own_rows"),
    (local_gate, "look_for_drift"),
    (drift, "profile_batch"),
    (batch_gate, "check_contract"),
    (integration, "check_own_rows"),
    (integration, "check_keys"),
    (integration, "_check_order"),
]


@pytest.mark.parametrize(("room", "step"), STEPS, ids=lambda value: value if isinstance(value, str) else "")
def test_whatever_breaks_in_a_run_the_next_one_and_all_others_land(
    world: World, monkeypatch: pytest.MonkeyPatch, room: Any, step: str
) -> None:
    """The error of the first customers' run is raised whenever that run comes to the step, however often."""
    real, raised = getattr(room, step), []
    victims: set[str] = set()
    errors_of = bugs()

    def break_one(*arguments: Any, **options: Any) -> Any:
        runs = [each for each in arguments if isinstance(each, Run)]
        mine = not runs and step in ("build_batch", "check_contract", "profile_batch")
        if (mine and victims) or any(run.run_id in victims for run in runs):
            raised.append(next(errors_of))
            raise raised[-1]
        return real(*arguments, **options)

    world.bring("customers", customer(1), customer(2))
    world.integrate()
    monkeypatch.setattr(room, step, break_one)
    world.tick()
    world.sources["customers"].add(customer(3, segment="martian" if step == "keep_failing_rows" else "consumer"))
    number = max(run.number for run in world.stack.ledger.runs(source="customers")) + 1
    hi = world.clock()
    victims.add(f"customers-dana-{hi:%Y%m%dT%H%MZ}-{number}")
    with contextlib.suppress(errors.DartifactError):
        world.ingest("customers")
    try_to_integrate(world)
    assert raised, f"{step} was never reached"
    if step in ("build_batch", "check_contract", "profile_batch"):
        victims.clear()  # these do not say whose they are: it was one moment's fault

    other = world.land("orders", order(1, 1))
    for count in range(4):
        try_to_bring(world, "customers", customer(10 + count))
    try_to_integrate(world)
    assert world.run(other).phase is Phase.MERGED
    assert {"C000010", "C000011", "C000012", "C000013"} <= set(world.keys("customers"))
    bad = [run for run in world.stack.ledger.runs(source="customers") if run.run_id in victims]
    assert all(run.phase in (Phase.HELD, Phase.FAILED) for run in bad)
    for run in bad:
        assert run.reasons
        assert "\n" not in run.reasons[0]
        assert decide.reject(world.stack, run.run_id, WHY).phase is Phase.REJECTED


def try_to_integrate(world: World) -> None:
    with contextlib.suppress(errors.ChecksErrored):
        world.integrate()


def test_a_bug_is_told_in_one_line_and_its_traceback_is_kept(world: World) -> None:
    world.sources["customers"].fail_next(ZeroDivisionError("division by zero"))
    with pytest.raises(errors.ChecksErrored) as caught:
        world.bring("customers", customer(1))
    run = world.stack.ledger.runs()[0]
    assert str(caught.value) == (
        f"{run.run_id}: extraction ended with ZeroDivisionError: division by zero; its traceback is in logs/errors.log"
    )
    assert "in fetch" in (world.stack.home / "logs" / "errors.log").read_text()
    assert run.attempts == 1


def test_a_full_disk_is_one_line(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(extraction, "write_parquet", full)
    with pytest.raises(errors.ChecksErrored, match=r"extraction could not be done: .*No space left on device"):
        world.bring("customers", customer(1))


@pytest.mark.parametrize("phase", [Phase.EXTRACTING, Phase.CHECKING])
def test_a_run_that_nobody_works_on_can_be_rejected_from_every_phase(
    world: World, monkeypatch: pytest.MonkeyPatch, phase: Phase
) -> None:
    def gone(*_: Any, **__: Any) -> None:
        raise errors.LakeUnavailable("gone")

    with monkeypatch.context() as patch:
        patch.setattr(*((extraction, "_commit_batch") if phase is Phase.EXTRACTING else (ingests, "check_run")), gone)
        run = try_to_bring(world, "customers", customer(1))
    assert run.phase is phase
    with hold_lease(world.stack.ledger, "ingest dana"), pytest.raises(errors.Locked, match="dana is at work"):
        decide.reject(world.stack, run.run_id, WHY)
    assert decide.reject(world.stack, run.run_id, WHY).phase is Phase.REJECTED
    assert world.land("customers", customer(2)).phase is Phase.MERGED


# Names


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a\0b",
        "file_row_number",
        "_SEQ",
        "_Deleted",
        "Customer_ID",
        "customer_id\" IS NULL); COPY (SELECT 42 AS x) TO 'PROOF'; SELECT * FROM (SELECT 1 AS z) WHERE (\"z",
        'a"b',
        "a'b; DROP TABLE batch; --",
        "größe 📏",
    ],
)
def test_a_name_is_only_a_name(world: World, tmp_path: Path, name: str) -> None:
    name = name.replace("PROOF", str(tmp_path / "proof.csv"))
    world.land("customers", customer(1))
    world.tick(timedelta(seconds=20))  # within the overlap of the next window
    bad = try_to_bring(world, "customers", customer(2) | {name: "true"})
    assert bad.phase is Phase.FAILED
    assert (repr(name) in bad.reasons[0]) or (f"customers.{name}:" in bad.reasons[0])
    assert not (tmp_path / "proof.csv").exists()
    # the next run reads that row once more, through the overlap, and flows past
    world.tick(timedelta(seconds=-280))
    assert world.land("customers", customer(3)).phase is Phase.MERGED
    assert world.keys("customers") == ["C000001", "C000003"]
    assert decide.reject(world.stack, bad.run_id, WHY).phase is Phase.REJECTED


# Rows that the overlap brings again


@pytest.mark.parametrize("fault", [{"phone": "1"}, {"country": None, "segment": 7.5}])
def test_what_is_wrong_with_a_row_of_the_overlap_is_no_fault_of_the_next_run(
    world: World, fault: dict[str, Any]
) -> None:
    world.land("customers", customer(1))
    bad = try_to_bring(world, "customers", customer(2) | fault)
    assert bad.phase is Phase.FAILED
    world.tick(timedelta(seconds=-280))
    assert world.land("customers", customer(3)).phase is Phase.MERGED


def test_a_mistyped_value_spoils_no_clean_row_of_the_next_overlap(world: World) -> None:
    world.land("customers", customer(1))
    first = try_to_bring(world, "orders", order(1, amount=Decimal("1.50")), order(2, amount="far away"))
    assert "e.g. 'far away'" in show_values(first.reasons[0])
    world.tick(timedelta(seconds=-280))
    second = world.bring("orders", order(3, amount=Decimal("2.00")))
    assert (second.phase, second.rows) == (Phase.QUEUED, 1)


# Columns that are not there


def test_a_declared_column_that_no_row_has_is_missing(world: World) -> None:
    row = customer(1)
    del row["country"]
    run = try_to_bring(world, "customers", row)
    assert run.phase is Phase.FAILED
    assert run.reasons == ("customers.country: the column is missing",)


def test_an_optional_column_may_be_left_out(world: World) -> None:
    source = world.stack.source("customers")
    world.stack.sources["customers"] = replace(source, optional=("country",))  # type: ignore[index]
    row = customer(1)
    del row["country"]
    assert "column is missing" not in str(try_to_bring(world, "customers", row).reasons)


@pytest.fixture
def own_checks(world: World, tmp_path: Path) -> Callable[[str, str, str], None]:
    """Let a test edit the contracts; return what replaces a text in one."""
    project = tmp_path / "project"
    (project / "checks").mkdir(parents=True)
    for path in (world.stack.project / "checks").glob("*.yml"):
        (project / "checks" / path.name).write_text(path.read_text())
    world.stack = replace(world.stack, project=project, _contracts={})

    def edit(dataset: str, old: str, new: str) -> None:
        path = project / "checks" / f"{dataset}.yml"
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new, 1))
        world.stack._contracts.clear()

    return edit


def test_a_column_that_a_contract_gets_breaks_nothing_that_waits(
    world: World, own_checks: Callable[[str, str, str], None]
) -> None:
    queued = world.bring("customers", customer(1))
    assert queued.phase is Phase.QUEUED
    own_checks("customers", "columns:\n", "columns:\n  - name: phone\n    data_type: varchar\n")
    assert world.integrate().merged == [queued.run_id]
    report = world.stack.ledger.report(world.stack.ledger.runs()[0].report or "")
    assert report is not None
    late = try_to_bring(world, "customers", customer(2))
    assert late.reasons == ("customers.phone: the column is missing",)


def test_recheck_types_anew_what_an_older_contract_kept_as_text(
    world: World, own_checks: Callable[[str, str, str], None]
) -> None:
    own_checks("orders", "name: amount\n    data_type: decimal(12,2)", "name: amount\n    data_type: bigint")
    world.land("customers", customer(1))
    run = try_to_bring(world, "orders", order(1, amount=Decimal("32.50")))
    assert run.phase is Phase.FAILED
    assert "are not bigint" in run.reasons[0]
    own_checks("orders", "name: amount\n    data_type: bigint", "name: amount\n    data_type: decimal(12,2)")
    again = decide.recheck(world.stack, run.run_id, actor="ann")
    assert again.phase is Phase.QUEUED
    assert again.commit != run.commit
    assert world.integrate().merged == [run.run_id]
    [event] = world.events("RecheckRequested", run=run)
    assert event.payload["retyped"] == ["amount"]


def test_a_run_whose_commit_the_lake_lacks_blocks_nobody(world: World) -> None:
    lost = world.bring("customers", customer(1))
    with world.stack.ledger.write() as tx:
        tx.runs.move(lost.run_id, Phase.QUEUED, "MergeRequested", "test", adopt=True, changes={"commit_id": "f" * 64})
    good = world.bring("customers", customer(2))
    done = world.integrate()
    assert (done.failed, done.merged) == ([lost.run_id], [good.run_id])
    assert "which the lake lacks" in world.run(lost).reasons[0]


# Limits


def test_a_source_that_never_ends_is_given_up_and_the_next_window_is_brought(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extraction, "_MOST_PAGES", 3)
    world.sources["customers"].page_size = 1
    run = try_to_bring(world, "customers", *(customer(number) for number in range(5)))
    assert "sends more than 3 pages of one window" in run.reasons[0]
    monkeypatch.undo()
    world.sources["customers"].page_size = 100
    assert {run.phase for run in world.ingest("customers")} == {Phase.QUEUED}


def test_a_window_that_takes_longer_than_the_sources_deadline_is_given_up(world: World) -> None:
    source = world.stack.source("customers")
    world.stack.sources["customers"] = replace(source, deadline=timedelta(0))  # type: ignore[index]
    with pytest.raises(errors.SourceUnavailable, match="customers took more than 0 minutes for one window, 1 pages"):
        world.bring("customers", customer(1))


def test_a_source_that_does_not_fit_its_contract_claims_nothing(world: World) -> None:
    source = world.stack.source("customers")
    world.stack.sources["customers"] = replace(source, key=("nr",), updated_at="changed")  # type: ignore[index]
    with pytest.raises(errors.UsageError) as caught:
        world.bring("customers", customer(1))
    assert "nr" in caught.value.message
    assert "changed" in caught.value.message
    assert world.stack.ledger.runs() == ()
    assert world.bring("orders", order(1)).phase is Phase.QUEUED
