"""The merge queue on a real lakeFS server: who is stopped, who goes on, and what a broken day leaves."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from dartifact.adapters.lakefs import calls as lake_calls
from dartifact.adapters.lakefs.lake import MAIN, Lake
from dartifact.commands.gates import batch
from dartifact.commands.leases import hold_lease
from dartifact.commands.queue import candidates, rounds
from dartifact.commands.queue import integrate as queue
from dartifact.commands.stack import Stack
from dartifact.domain import errors
from dartifact.domain.checks import Gate, Outcome, Report, Result
from dartifact.domain.runs import Phase, Run
from dartifact.domain.sources import Ingestor
from dartifact.domain.windows import WindowState
from tests.support.proxy import Fault, Proxy
from tests.support.sources import bad_customer, bad_order, customer, order, shard_of
from tests.support.world import ACTOR, World, edit_by_hand, green


def bring_customers(world: World, *numbers: int) -> list[Run]:
    """Queue one run per customer."""
    return [world.queue("customers", customer(number)) for number in numbers]


def bring_order(world: World, number: int, of: int) -> Run:
    return world.queue("orders", order(number, of))


def ids(*runs: Run) -> list[str]:
    return [run.run_id for run in runs]


# Green


@pytest.mark.both_databases
def test_empty_queue_does_nothing(world: World, proxy: Proxy) -> None:
    before = world.head
    world.stack = world.through(proxy.url)
    assert world.integrate() == queue.Integration()
    assert world.head == before
    assert proxy.seen
    assert proxy.count("^(?!GET )") == 0
    assert world.events() == []


@pytest.mark.both_databases
def test_waiting_runs_land_together_in_one_tested_commit(world: World) -> None:
    first, second = bring_customers(world, 1, 2)
    third = bring_order(world, 1, of=2)
    done = world.integrate()
    assert done.merged == ids(first, second, third)
    assert (done.candidates, done.commit) == (1, world.head.commit_id)
    assert world.stack.ledger.has_green_report(world.head.meta_range)
    report = world.stack.ledger.report(world.head.metadata["report"])
    assert report is not None
    assert (report.gate, report.commit, report.meta_range) == (
        Gate.INTEGRATION,
        world.head.parents[1],
        world.head.meta_range,
    )
    assert {result.run_id for result in report.results} >= set(done.merged)
    assert world.head.metadata["runs"] == ",".join(done.merged)
    assert (world.head.metadata["gate"], world.head.metadata["actor"]) == ("integration", ACTOR)
    assert {world.run(run).window.state for run in (first, second, third)} == {WindowState.MERGED}
    assert world.integrate() == queue.Integration()


def test_batches_are_no_larger_than_the_policy_says_and_keep_the_order_of_claims(world: World) -> None:
    world.with_policy(candidate_size=2)
    runs = bring_customers(world, 1, 2, 3, 4, 5)
    done = world.integrate()
    assert (done.merged, done.candidates) == (ids(*runs), 3)
    landed = [each.metadata["runs"].split(",") for each in world.lake.log(MAIN) if each.parents]
    assert landed == [ids(runs[4]), ids(*runs[2:4]), ids(*runs[:2])]


def test_runs_are_tested_through_the_gateway_where_the_store_is_elsewhere(world: World) -> None:
    access = replace(world.lake.access, gateway_only=True)
    world.stack = replace(world.stack, lake=Lake(access, world.lake.repository))
    world.land("customers", customer(1))
    good, early = world.bring("orders", order(1)), world.bring("orders", order(2, of=2))
    done = world.integrate()
    assert (done.merged, done.held) == (ids(good), ids(early))
    assert world.keys("orders") == [1]


# Red


@pytest.mark.both_databases
def test_bad_run_without_local_gate_fails_alone_and_three_merge(world: World) -> None:
    world.leave_out_local_gate("customers")
    runs = [world.bring("customers", row) for row in (customer(1), customer(2), bad_customer(3), customer(4))]
    assert {run.phase for run in runs} == {Phase.QUEUED}
    done = world.integrate()
    assert (done.failed, done.merged, done.candidates) == (ids(runs[2]), ids(runs[0], runs[1], runs[3]), 2)
    assert world.keys("customers") == ["C000001", "C000002", "C000004"]
    bad = world.run(runs[2])
    assert (bad.phase, bad.gate, bad.window.state) == (Phase.FAILED, Gate.INTEGRATION, WindowState.HELD)
    assert "segment" in bad.reasons[0]
    assert bad.reasons[-1] == "dana's local gate is left out and would have caught it: switch it on"
    assert world.lake.has_branch(bad.branch)
    report = world.stack.ledger.report(bad.report or "")
    assert report is not None
    assert {result.run_id for result in report.results} == {bad.run_id}
    (event,) = world.events("RunFailed")
    assert (event.run_id, event.payload["branch"], event.payload["commit"]) == (bad.run_id, bad.branch, bad.commit)
    (refused,) = world.events("CandidateRefused")
    assert refused.payload["runs"] == ids(*runs)
    assert world.lake.list_branches("candidate-") == (refused.payload["branch"],)
    assert world.runs_in_main(refused.payload["commit"]) == set(ids(*runs))


@pytest.mark.both_databases
def test_failed_run_is_fixed_and_lands(world: World) -> None:
    world.leave_out_local_gate("customers")
    bad = world.bring("customers", bad_customer(1), customer(2))
    assert world.integrate().failed == ids(bad)
    world.fix(bad, customer(1), customer(2))
    assert world.integrate().merged == ids(bad)
    assert world.keys("customers") == ["C000001", "C000002"]
    assert world.run(bad).reasons == ()


def test_all_bad_runs_of_a_batch_are_found_with_one_candidate(world: World) -> None:
    world.leave_out_local_gate("customers")
    runs = [world.bring("customers", row) for row in (bad_customer(1), customer(2), bad_customer(3), customer(4))]
    done = world.integrate()
    assert (done.failed, done.merged, done.candidates) == (ids(runs[0], runs[2]), ids(runs[1], runs[3]), 2)


def test_batch_of_bad_runs_only_leaves_main_untouched(world: World) -> None:
    world.leave_out_local_gate("customers")
    before = world.head
    runs = [world.bring("customers", bad_customer(number)) for number in (1, 2)]
    done = world.integrate()
    assert (done.failed, done.merged, done.candidates) == (ids(*runs), [], 1)
    assert world.head == before


def test_percent_threshold_applies_to_the_batch_not_to_all_there_is(world: World) -> None:
    world.land("customers", *(customer(number) for number in range(1, 200)))
    world.leave_out_local_gate("customers")
    diluted = world.bring("customers", *(customer(number, email="nobody") for number in (500, 501)), customer(502))
    assert world.integrate().failed == ids(diluted)
    assert "email" in world.run(diluted).reasons[0]


@pytest.mark.both_databases
def test_run_whose_keys_are_ambiguous_or_missing_fails(world: World) -> None:
    world.leave_out_local_gate("customers")
    twice = world.bring("customers", customer(1, name="a"), customer(1, name="b"))
    good = world.bring("customers", customer(2))
    done = world.integrate()
    assert (done.failed, done.merged) == (ids(twice), ids(good))
    assert "conflicting versions" in world.run(twice).reasons[0]


@pytest.mark.both_databases
@pytest.mark.parametrize("content", [b"", b"rubbish", b"PAR1" + b"\0" * 40 + b"PAR1"], ids=["empty", "text", "fake"])
def test_run_with_a_file_that_is_no_parquet_fails_alone(world: World, content: bytes) -> None:
    world.leave_out_local_gate("customers")
    bad, good = world.bring("customers", customer(1)), world.bring("customers", customer(2))
    bad = world.amend(bad, lambda branch: world.lake.upload(branch, f"{bad.folder}part-1.parquet", content))
    done = world.integrate()
    assert (done.failed, done.merged) == (ids(bad), ids(good))
    assert bad.run_id in world.run(bad).reasons[0]


def test_run_whose_commit_holds_nothing_of_its_own_fails_alone(world: World) -> None:
    world.leave_out_local_gate("customers")
    bad, good = world.bring("customers", customer(1)), world.bring("customers", customer(2))
    bad = world.amend(bad, lambda branch: world.lake.delete_objects(branch, [f"{bad.folder}part-0.parquet"]))
    done = world.integrate()
    assert (done.failed, done.merged) == (ids(bad), ids(good))
    assert "there is nothing in" in world.run(bad).reasons[0]


# A culprit that does not show


def find_each_good(_: Stack, commit: Any, runs: Any) -> Report:
    """Stand in for the integration gate: each run is good by itself."""
    results = tuple(Result("test.good", run.source, Outcome.PASSED, "good", run_id=run.run_id) for run in runs)
    return Report(Gate.INTEGRATION, commit.commit_id, commit.meta_range, results or green(commit).results)


def red_if(
    monkeypatch: pytest.MonkeyPatch, is_red: Callable[[set[str]], bool], outcome: Outcome = Outcome.FAILED
) -> None:
    """Let the integration gate be red, without naming a run, for candidates that land certain runs."""

    def check(stack: Stack, commit: Any, runs: Any) -> Report:
        report = find_each_good(stack, commit, runs)
        if is_red({run.run_id for run in runs}):
            nobody = Result("main.total", "main", outcome, "the total is wrong")
            report = replace(report, results=(*report.results, nobody))
        return report

    monkeypatch.setattr(rounds, "check_candidate", check)


@pytest.mark.both_databases
@pytest.mark.parametrize("position", [0, 3, 4])
def test_culprit_that_nobody_can_name_is_found_by_halving(
    world: World, monkeypatch: pytest.MonkeyPatch, position: int
) -> None:
    runs = bring_customers(world, 1, 2, 3, 4, 5)
    culprit = runs[position]
    red_if(monkeypatch, lambda landing: culprit.run_id in landing)
    done = world.integrate()
    assert done.failed == ids(culprit)
    assert set(done.merged) == set(ids(*runs)) - {culprit.run_id}
    assert world.runs_in_main() == set(done.merged)
    assert world.run(culprit).reasons == ("the total is wrong",)
    assert done.candidates <= 7
    refused = [event.payload["branch"] for event in world.events("CandidateRefused")]
    assert set(world.lake.list_branches("candidate-")) == set(refused)


@pytest.mark.both_databases
def test_runs_that_are_red_only_together_lose_the_later_one(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = bring_customers(world, 1, 2, 3, 4)
    pair = {runs[1].run_id, runs[2].run_id}

    def is_red(landing: set[str]) -> bool:
        return pair <= landing | world.runs_in_main()

    red_if(monkeypatch, is_red)
    done = world.integrate()
    assert done.failed == ids(runs[2])
    assert world.runs_in_main() == set(ids(runs[0], runs[1], runs[3]))


def test_red_revert_alone_is_an_error_and_stays_requested(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    (run,) = bring_customers(world, 1)
    world.integrate()
    before = world.head
    world.request_revert(run)
    with monkeypatch.context() as context:
        red_if(context, lambda landing: not landing)
        with pytest.raises(errors.ChecksErrored, match="a revert could not be checked: the total is wrong"):
            world.integrate()
    assert world.head == before
    assert len(world.lake.list_branches("candidate-")) == 1
    assert world.integrate().reverted == ids(run)


# A long queue

SHARDS = {"customers": ("dana", "dora"), "orders": ("dan", "dave")}


def fill_queue(world: World, bad: dict[int, dict[str, Any]]) -> list[Run]:
    """Queue 64 runs of four ingestors, none of them checked: 40 of dana's, then 8 each of the others'.

    `bad` names columns to change, by the position of the run.
    """
    for name, ingestors in SHARDS.items():
        source = world.stack.source(name)
        unchecked = tuple(Ingestor(each, local_gate=False) for each in ingestors)
        world.stack.sources[name] = replace(source, ingestors=unchecked, overlap=timedelta(0))  # type: ignore[index]
    world.tick()
    world.sources["customers"].add(customer(0))
    for ingestor in SHARDS["customers"]:  # one of them brings the customer of all orders
        world.ingest("customers", ingestor)
    world.integrate()
    owners = [*["dana"] * 40, *["dora", "dan", "dave"] * 8]
    runs, number = [], 0
    for position, owner in enumerate(owners):
        dataset = next(name for name, ingestors in SHARDS.items() if owner in ingestors)
        make, shard = (customer, order)[dataset == "orders"], SHARDS[dataset].index(owner)
        number = next(each for each in itertools.count(number + 1) if shard_of(make(each), 2) == shard)
        row = make(number) if dataset == "customers" else order(number, of=0)
        runs.append(world.queue(dataset, row | bad.get(position, {}), ingestor=owner))
    assert [(run.ingestor, run.phase, run.rows) for run in runs] == [(owner, Phase.QUEUED, 1) for owner in owners]
    return runs


def owners_of_batches(world: World, runs: list[Run]) -> list[Counter[str]]:
    """Return who landed with each advance of `main`, the first one first."""
    owner = {run.run_id: run.ingestor for run in runs}
    log = [each.metadata["runs"].split(",") for each in world.lake.log(MAIN) if each.metadata.get("runs")]
    return [Counter(owner[each] for each in landed) for landed in reversed(log) if set(landed) <= set(owner)]


def test_three_bad_ones_of_64_fail_each_for_its_own_reason_and_the_others_land(
    world: World,
) -> None:
    bad = {3: {"segment": "martian"}, 41: {"amount": Decimal("-1.00")}, 60: {"currency": "XXX"}}
    runs = fill_queue(world, bad)
    done = world.integrate()
    print(f"64 runs, 3 of them bad: {done.candidates} candidates")
    guilty = {runs[3].run_id: "segment", runs[41].run_id: "amount", runs[60].run_id: "currency"}
    assert set(done.failed) == set(guilty)
    for run_id, column in guilty.items():
        assert column in world.run(run_id).reasons[0]
        assert len(world.run(run_id).reasons) == 2  # and that its local gate would have caught it
    good = set(ids(*runs)) - set(guilty)
    assert set(done.merged) == good
    assert world.runs_in_main() >= good
    assert not world.runs_in_main() & set(guilty)
    assert set(owners_of_batches(world, runs)[0]) == {"dana", "dora", "dan", "dave"}  # the backlog is 40 of dana's
    assert done.candidates <= 7  # ceil(61 / 16) that advance main, and one for each culprit


def test_three_of_64_that_only_the_whole_shows_are_found_by_halving(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    vast = {"amount": Decimal("99999.00")}
    runs = fill_queue(world, {3: {"country": "XX"}, 41: vast, 60: vast})

    def check(stack: Stack, commit: Any, landing: Any) -> Report:
        """Find each run good and ask, on the tables of the commit, a check that no run owns."""
        report = find_each_good(stack, commit, landing)
        unknown = sum(row["country"] == "XX" for row in world.rows("customers", commit.commit_id))
        large = sum(row["amount"] > 50_000 for row in world.rows("orders", commit.commit_id))
        outcome = Outcome.FAILED if unknown or large else Outcome.PASSED
        whole = Result("main.plausible", "main", outcome, f"{unknown} unknown countries, {large} vast amounts")
        return replace(report, results=(*report.results, whole))

    monkeypatch.setattr(rounds, "check_candidate", check)
    done = world.integrate()
    print(f"64 runs, 3 of them bad: {done.candidates} candidates")
    guilty = [runs[3], runs[41], runs[60]]
    assert sorted(done.failed) == sorted(ids(*guilty))
    assert [world.run(run).reasons[0] for run in guilty] == [
        "1 unknown countries, 0 vast amounts",
        "0 unknown countries, 1 vast amounts",
        "0 unknown countries, 1 vast amounts",
    ]
    assert set(done.merged) == set(ids(*runs)) - set(ids(*guilty))
    assert world.runs_in_main() >= set(done.merged)
    assert not world.runs_in_main() & set(ids(*guilty))
    assert done.candidates <= 4 + 3 * 6  # a batch of 16: the red one, at most 5 to be alone


# Rows that wait for other rows


def test_order_that_comes_before_its_customer_is_held_and_merged_when_the_customer_comes(world: World) -> None:
    bring_customers(world, 1)
    early, other = bring_order(world, 1, of=2), bring_order(world, 2, of=1)
    done = world.integrate()
    assert (done.held, done.failed) == (ids(early), [])
    assert other.run_id in done.merged
    held = world.run(early)
    assert (held.phase, held.gate, held.window.state) == (Phase.HELD, Gate.INTEGRATION, WindowState.HELD)
    assert held.held_until == world.clock.now + world.stack.policy.orphan_grace
    assert "C000002" in held.reasons[0]
    assert "grace period running" in held.reasons[0]
    (arrived,) = bring_customers(world, 2)
    assert set(world.integrate().merged) == {early.run_id, arrived.run_id}
    assert world.keys("orders") == [1, 2]
    merged = world.run(early)
    assert (merged.phase, merged.held_until, merged.reasons) == (Phase.MERGED, None, ())


def test_order_and_its_customer_in_one_pass_land_though_the_order_was_claimed_first(world: World) -> None:
    world.with_policy(candidate_size=1)
    early = bring_order(world, 1, of=1)
    (arrived,) = bring_customers(world, 1)
    done = world.integrate()
    assert done.held == ids(early)
    assert done.merged == ids(arrived, early)
    assert world.run(early).phase is Phase.MERGED


@pytest.mark.both_databases
def test_held_run_that_still_waits_is_not_held_twice(world: World) -> None:
    early = bring_order(world, 1, of=1)
    assert world.integrate().held == ids(early)
    until = world.run(early).held_until
    world.tick()
    again = world.integrate()
    assert (again.held, again.failed, again.merged) == ([], [], [])
    assert world.run(early).held_until == until
    assert len(world.events("RunHeld")) == 1


@pytest.mark.both_databases
def test_order_whose_customer_never_comes_fails_after_the_grace_time(world: World) -> None:
    early = bring_order(world, 1, of=1)
    world.integrate()
    world.clock.now = early.created_at + world.stack.policy.orphan_grace - timedelta(seconds=1)
    assert world.integrate().failed == []
    assert world.run(early).phase is Phase.HELD
    world.clock.now += timedelta(seconds=1)
    assert world.integrate().failed == ids(early)
    failed = world.run(early)
    assert (failed.phase, failed.held_until) == (Phase.FAILED, None)
    assert "grace period over" in failed.reasons[0]
    assert world.lake.has_branch(failed.branch)


def test_order_of_a_deleted_customer_is_an_orphan(world: World) -> None:
    bring_customers(world, 1)
    world.integrate()
    with world.without_local_gate("customers"):
        gone = world.bring("customers", customer(1, _deleted=True))
    late = bring_order(world, 1, of=1)
    done = world.integrate()
    assert (done.merged, done.held) == (ids(gone), ids(late))


def test_orders_that_lose_their_customer_to_a_revert_do_not_stop_it(world: World) -> None:
    (run,) = bring_customers(world, 1)
    bring_order(world, 1, of=1)
    world.integrate()
    world.request_revert(run)
    assert world.integrate().reverted == ids(run)
    (later,) = bring_customers(world, 2)
    assert world.integrate().merged == ids(later)
    report = world.stack.ledger.report(world.head.metadata["report"])
    assert report is not None
    (warned,) = [result for result in report.results if result.outcome is Outcome.WARNED]
    assert "in main before" in warned.message


# Checks that cannot be asked


def errored_for(monkeypatch: pytest.MonkeyPatch, run: Run, times: int) -> list[str]:
    """Let the contract of one run not be askable so many times; return the list of the times it was asked."""
    real = batch.check_contract
    asked: list[str] = []

    def check(*args: Any, run_id: str | None = None, **options: Any) -> tuple[Result, ...]:
        if run_id == run.run_id:
            asked.append(run_id)
            if len(asked) <= times:
                return (Result("customers.x", "customers", Outcome.ERRORED, "no answer", run_id=run_id),)
        return real(*args, run_id=run_id, **options)

    monkeypatch.setattr(batch, "check_contract", check)
    return asked


def test_check_that_cannot_be_asked_once_is_asked_again_and_merges(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = bring_customers(world, 1, 2)
    asked = errored_for(monkeypatch, runs[0], times=world.stack.policy.attempts - 1)
    assert world.integrate().merged == ids(*runs)
    assert len(asked) == world.stack.policy.attempts


def test_run_that_cannot_be_asked_about_is_held_not_failed_and_the_others_merge(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = bring_customers(world, 1, 2)
    with monkeypatch.context() as context:
        errored_for(context, runs[0], times=100)
        done = world.integrate()
    assert (done.held, done.failed, done.merged) == (ids(runs[0]), [], ids(runs[1]))
    assert world.run(runs[0]).reasons == ("no answer",)
    assert world.integrate().merged == ids(runs[0])


@pytest.mark.both_databases
def test_gate_that_cannot_be_asked_at_all_holds_the_runs_one_by_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = bring_customers(world, 1, 2)
    with monkeypatch.context() as context:
        red_if(context, bool, Outcome.ERRORED)
        done = world.integrate()
    assert (set(done.held), done.failed, done.merged) == (set(ids(*runs)), [], [])
    assert set(world.integrate().merged) == set(ids(*runs))


# Several at once


@pytest.mark.both_databases
def test_second_integrator_is_told_who_is_at_work(world: World) -> None:
    bring_customers(world, 1)
    with hold_lease(world.stack.ledger, "integrate"), ThreadPoolExecutor(1) as pool:
        with pytest.raises(errors.Locked, match="integrate is being done by process"):
            pool.submit(world.integrate).result()
        assert world.runs_in_main() == frozenset()
    assert len(world.integrate().merged) == 1


_HOLDER = """
import sys
from dartifact.adapters.ledger.ledger import Ledger
from dartifact.commands.leases import hold_lease
with hold_lease(Ledger(sys.argv[1]), "integrate"):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def lease_held_elsewhere(world: World) -> Iterator[subprocess.Popen[str]]:
    """Hold the integrator's lease in another process while the block runs."""
    command = [sys.executable, "-c", _HOLDER, world.stack.ledger.url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


@pytest.mark.both_databases
def test_lease_of_a_living_process_locks_and_that_of_a_killed_one_is_taken_over(world: World) -> None:
    (run,) = bring_customers(world, 1)
    with lease_held_elsewhere(world) as process:
        with pytest.raises(errors.Locked, match=f"process {process.pid}"):
            world.integrate()
        process.kill()
        process.wait()
        assert world.integrate().merged == ids(run)


def test_lease_of_another_machine_is_respected_until_it_runs_out(world: World) -> None:
    (run,) = bring_customers(world, 1)
    with world.stack.ledger.write() as tx:
        tx.leases.take("integrate", "elsewhere/1/1/1", 3600)
    with pytest.raises(errors.Locked, match="process 1 on elsewhere"):
        world.integrate()
    with world.stack.ledger.write() as tx:
        tx.leases.take("integrate", "elsewhere/1/1/1", -1)
    assert world.integrate().merged == ids(run)


@pytest.mark.both_databases
def test_integrators_without_any_lease_still_lose_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "hold_lease", lambda *_: nullcontext())
    world.with_policy(candidate_size=1)
    runs = bring_customers(world, 1, 2, 3, 4)
    together = threading.Barrier(2)

    def work(_: int) -> queue.Integration:
        together.wait()
        return world.integrate()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, range(2)))
    assert world.keys("customers") == ["C000001", "C000002", "C000003", "C000004"]
    assert world.runs_in_main() == set(ids(*runs))
    assert {world.run(run).phase for run in runs} == {Phase.MERGED}
    assert world.stack.ledger.has_green_report(world.head.meta_range)
    assert world.stack.ledger.open_intents() == ()
    assert world.lake.list_branches("candidate-") == ()


def test_main_that_keeps_moving_ends_in_a_conflict_and_the_run_stays_queued(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    (run,) = bring_customers(world, 1)
    monkeypatch.setattr(queue, "_REBUILDS", 3)
    real = rounds.check_candidate

    def check(stack: Stack, commit: Any, runs: Any) -> Report:
        report = real(stack, commit, runs)
        if runs:  # another integrator is always quicker; it brings nothing, but the fence
            rival = candidates.build_candidate(stack, queue.CandidatePlan(), world.head)
            rivals = replace(report, commit=rival.commit.commit_id, meta_range=rival.commit.meta_range)
            with stack.ledger.write() as tx:
                tx.reports.save(rivals, rounds.judge(rivals.results))
            candidates.advance(stack, rival, rivals, "rival")
        return report

    with monkeypatch.context() as context:
        context.setattr(rounds, "check_candidate", check)
        with pytest.raises(errors.Conflict, match="main kept moving: gave up after 3 candidates"):
            world.integrate()
    assert world.run(run).phase is Phase.QUEUED
    assert world.integrate().merged == ids(run)


# A lake that goes away


@pytest.mark.parametrize("fault", [Fault.CUT_BEFORE, Fault.CUT_AFTER])
def test_lake_that_goes_away_at_any_request_leaves_everything_to_the_next_integrate(
    world: World, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, fault: Fault
) -> None:
    monkeypatch.setattr(lake_calls, "_PAUSE", 0.0)
    healthy, sick = world.stack, world.through(proxy.url)
    runs = bring_customers(world, 1)
    world.integrate()
    for cut in range(100):
        old = runs[-1]
        runs += bring_customers(world, cut + 2)
        world.request_revert(world.run(old))
        proxy.heal()
        rule = proxy.add(".", fault, times=None, after=cut)
        world.stack = sick
        try:
            world.integrate()
        except errors.ChecksErrored:
            assert rule.arrived.is_set()
        world.stack = healthy
        world.integrate()
        assert world.runs_in_main() == {runs[-1].run_id}
        assert [world.run(run).phase for run in runs[-2:]] == [Phase.REVERTED, Phase.MERGED]
        if not rule.arrived.is_set():
            break  # this one went through without being cut: every request has had its turn
    assert 12 < cut < 99
    assert world.stack.ledger.open_intents() == ()
    assert [len(world.events("RunMerged", run=run)) for run in runs] == [1] * len(runs)
    assert [len(world.events("RunReverted", run=run)) for run in runs] == [1] * (len(runs) - 1) + [0]
    assert [event.payload["commit"] for event in reversed(world.events("MainAdvanced"))] == [
        each.commit_id for each in world.lake.log(MAIN) if each.parents
    ]


def test_lake_that_is_not_there_at_all_leaves_the_run_queued(world: World, proxy: Proxy) -> None:
    (run,) = bring_customers(world, 1)
    healthy, world.stack = world.stack, world.through("http://127.0.0.1:9")
    with pytest.raises(errors.LakeUnavailable):
        world.integrate()
    world.stack = healthy
    assert world.run(run).phase is Phase.QUEUED
    assert world.integrate().merged == ids(run)


def test_file_of_main_that_cannot_be_read_is_an_error_and_nobody_fails(world: World) -> None:
    there = bring_customers(world, 1)[0]
    world.integrate()
    order_run = bring_order(world, 1, of=1)
    (found,) = world.lake.list_objects(f"{MAIN}@", there.folder)
    physical = Path(found.physical.removeprefix("local://"))
    content = physical.read_bytes()
    physical.write_bytes(content[: len(content) // 2])
    with pytest.raises(errors.ChecksErrored, match="records_customers: a file of the lake"):
        world.integrate()
    assert world.run(order_run).phase is Phase.QUEUED
    physical.write_bytes(content)
    assert world.integrate().merged == ids(order_run)


def test_bad_order_and_hand_made_rubbish_do_not_keep_each_other_in(world: World) -> None:
    bring_customers(world, 1)
    world.integrate()
    world.leave_out_local_gate("orders")
    bad, good = world.bring("orders", bad_order(1)), world.bring("orders", order(2))
    edit_by_hand(world.lake, MAIN, lambda branch: world.lake.upload(branch, "rubbish", b"x"))
    done = world.integrate()
    assert (done.failed, done.merged) == (ids(bad), ids(good))
    assert "rubbish" not in world.content()
