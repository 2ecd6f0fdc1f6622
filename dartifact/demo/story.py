"""The story of the product in chapters, played on the real systems, each ending with what must hold."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, TypeVar

from dartifact.adapters.lakefs.lake import MAIN
from dartifact.adapters.tables import duck
from dartifact.commands.gates.failing_rows import read_failing_rows
from dartifact.commands.production.promote import resolve
from dartifact.commands.production.rollback import preview_rollback, roll_back
from dartifact.commands.queue.integrate import Integration
from dartifact.commands.stack import Stack
from dartifact.demo.company import CompanyState
from dartifact.demo.road import Road
from dartifact.demo.server import DEFAULT, SimulatedSources
from dartifact.demo.staging_chapter import play_staging
from dartifact.demo.traffic_chapter import play_blue_green
from dartifact.domain.checks import Gate
from dartifact.domain.dartifacts import Dartifact, DartifactState
from dartifact.domain.plans import LivePointer
from dartifact.domain.runs import Phase, Run, run_folder

T = TypeVar("T")

ANALYST = "person:analyst"
INGESTORS = (("customers", "dana"), ("orders", "dan"), ("orders", "dave"))


class Narrator(Protocol):
    """Who shows the story while it is played."""

    def chapter(self, title: str) -> None:
        """Begin a chapter."""

    def say(self, line: str) -> None:
        """Say what happened."""

    def step(self, name: str, step: Callable[[], T], /) -> T:
        """Run a named step, showing that it runs and what it took."""

    def expect(self, what: str, *, holds: bool) -> None:
        """Show something that must hold at the end of a chapter."""


@dataclass
class Chapter:
    """One chapter as it ended: `expectations` are (what must hold, whether it does)."""

    name: str
    seconds: float = 0.0
    expectations: list[tuple[str, bool]] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Say whether the chapter ended as it must."""
        return bool(self.expectations) and all(holds for _, holds in self.expectations)


@dataclass
class Story:
    """The story under way and, afterwards, what came of it. `figures` are seconds by name."""

    stack: Stack
    company: SimulatedSources
    narrator: Narrator
    road: Road
    chapters: list[Chapter] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Say whether all chapters ended as they must."""
        return bool(self.chapters) and all(chapter.ok for chapter in self.chapters)

    def play(self) -> None:
        """Play the chapters in order; a chapter that ends differently does not stop the ones after it."""
        self.road.prepare()
        self._catch_up()
        for title, chapter in (
            ("A good day", self._good_day),
            ("A bad chunk", self._bad_chunk),
            ("Together", self._together),
            ("Somebody forgot", self._forgotten),
            ("Staging", partial(play_staging, self)),
            ("Blue/green", partial(play_blue_green, self)),
            ("It breaks anyway", self._breaks_anyway),
        ):
            self.narrator.chapter(f"{len(self.chapters) + 1}. {title}")
            with self._chapter(title):
                chapter()

    @contextmanager
    def _chapter(self, name: str) -> Iterator[None]:
        chapter = Chapter(name)
        self.chapters.append(chapter)
        started = time.monotonic()
        try:
            yield
        finally:
            chapter.seconds = round(time.monotonic() - started, 3)

    def expect(self, what: str, holds: bool) -> None:
        """Write down and show something that must hold at the end of the chapter."""
        self.chapters[-1].expectations.append((what, holds))
        self.narrator.expect(what, holds=holds)

    # Chapters

    def _good_day(self) -> None:
        self.company.advance()
        self.narrator.say(f"It is {self.company.now:%Y-%m-%d %H:%M} for the company; five minutes of data are waiting.")
        dana, dan, dave = self.bring_all()
        self.expect(f"Dana has a branch of her own, {dana.branch}", self.stack.lake.has_branch(dana.branch))
        self._show_merge_requests(dana, dan, dave)
        done, dartifact = self.deliver()
        self.expect("all three runs are in main", {dana.run_id, dan.run_id, dave.run_id} <= set(done.merged))
        self.expect("production shows the new dartifact", resolve(self.stack).dartifact == dartifact.dartifact_id)
        rows = sum(mart["rows"] for mart in (dartifact.passport or {}).get("marts", {}).values())
        self.expect(f"customer_statistics has rows ({rows:,})", rows > 0)
        self.names["good_run"] = dan.run_id

    def _bad_chunk(self) -> None:
        before = self.look()
        self.company.add_fault("orders", "negative_amounts")
        self.company.advance()
        self.narrator.say("Five minutes later. The orders system sends a chunk in which orders have negative amounts.")
        # The other half of the same chunk is as bad; its run is a developer of its own and is stopped by itself.
        bad, half = self.bring("orders", "dan"), self.bring("orders", "dave")
        self.names["failed_run"] = bad.run_id
        for reason in bad.reasons[:3]:
            self.narrator.say(f"  why: {reason}")
        stopped = {bad.phase, half.phase} == {Phase.FAILED}
        self.expect(f"{bad.run_id} and {half.run_id} are stopped at their local gates", stopped)
        self.expect(f"the branch {bad.branch} is there to look at", self.stack.lake.has_branch(bad.branch))
        rows = self._failing_rows(bad)
        if rows:
            own = [(name, value) for name, value in rows[0].items() if not name.startswith("_")]
            self.narrator.say("  e.g. " + ", ".join(f"{name}={value}" for name, value in own[:4]))
        self.expect("its failing rows can be read", bool(rows))
        self.integrate()
        self.expect("main and production are what they were", self.look() == before)

        self.narrator.say("Five minutes later the next chunk comes, and flows past.")
        self.company.advance()
        runs = self.bring_all()
        done, dartifact = self.deliver()
        self.expect("the next runs are in main", {run.run_id for run in runs} <= set(done.merged))
        self.expect("production shows them", resolve(self.stack).dartifact == dartifact.dartifact_id)

    def _together(self) -> None:
        self.company.advance()
        self.narrator.say("Dan and Dave bring half of the orders each, at the same time.")
        self.bring("customers", "dana")
        lake_before = self.stack.lake.seconds
        started = time.monotonic()
        dan, dave = (self._tell_run(run) for run in self.road.bring_together(INGESTORS[1:]))
        # What extracting took is not what this product adds; the stations after it are.
        self.figures["check"] = round(time.monotonic() - started - (self.road.extract_seconds or 0.0), 3)
        done = self._timed("integrate", self.integrate)
        if self.road.extract_seconds is not None:  # otherwise other processes have done it
            self.figures["lake_branch_to_merged"] = round(self.stack.lake.seconds - lake_before, 3)
        self.expect("both are in main", {dan.run_id, dave.run_id} <= set(done.merged))
        self.expect("they were tested together, as they were merged", self._were_tested_together(dan, dave))
        dartifact = self._timed("stage", self.stage)
        self._timed("promote", self._promote)
        stations = ("check", "integrate", "stage", "promote")
        self.figures["extract_to_production"] = round(sum(self.figures[each] for each in stations), 3)
        self.expect("production shows them", resolve(self.stack).dartifact == dartifact.dartifact_id)

    def _forgotten(self) -> None:
        before = self.look()
        self.company.add_fault("orders", "unknown_status")
        self.company.advance()
        self.narrator.say("Somebody has switched Dan's and Dave's local checks off, and their next chunk is bad.")
        both = self.road.bring_together(INGESTORS[1:], unchecked=frozenset({"dan", "dave"}))
        left_out = all(self.stack.ledger.events(run_id=run.run_id, type="LocalGateLeftOut") for run in both)
        self.expect("nobody has checked them: both ask to be merged", left_out)
        self.integrate()
        dan, dave = (self._tell_run(self.stack.ledger.run(run.run_id)) for run in both)
        for reason in dan.reasons[:3]:
            self.narrator.say(f"  why: {reason}")
        at_integration = {(run.phase, run.gate) for run in (dan, dave)} == {(Phase.FAILED, Gate.INTEGRATION)}
        self.expect("they are caught all the same, at integration", at_integration)
        advised = any("switch it on" in reason for reason in dan.reasons)
        self.expect("the reasons say that the local gate would have caught it", advised)
        self.expect("main and production are what they were", self.look() == before)
        self.narrator.say("Their checks are on again; the next chunk flows past.")
        self.company.advance()
        runs = self.bring_all()
        done, _ = self.deliver()
        self.expect("the next runs are in main", {run.run_id for run in runs} <= set(done.merged))

    def _breaks_anyway(self) -> None:
        old = resolve(self.stack, "dashboard")
        revenue = self._revenue(old.commit)
        self.company.add_fault("orders", "net_amounts")
        self.company.advance()
        self.narrator.say(
            "A release of the orders system sends amounts without tax. Each is a valid amount, and none is unusual."
        )
        _, *guilty = self.bring_all()
        blamed = tuple(run.run_id for run in guilty)
        self.names["blamed_run"] = blamed[0]
        self.deliver()
        now = resolve(self.stack, "dashboard")
        self.expect("it passed all gates and is live", now.commit != old.commit and self._hold(guilty, MAIN) == {True})
        self.narrator.say(
            f"An analyst sees it in the books: {self._revenue(now.commit) - revenue:,.0f} EUR of new revenue, "
            "and more has come in at the bank."
        )
        shown = preview_rollback(self.stack, blame=blamed)
        self.narrator.say(f"The preview: {shown.returns} comes back, {len(shown.reverts)} runs leave main.")
        started = time.monotonic()
        reason = "amounts are net of tax"

        def press() -> None:
            roll_back(self.stack, blame=blamed, reason=reason, actor=ANALYST, run=self._timing(started, old.commit))

        self.narrator.step("roll back", press)
        self.expect("resolve answers the old commit", resolve(self.stack, "dashboard").commit == old.commit)
        if "rollback" in self.figures:
            self.narrator.say(f"  after {self.figures['rollback'] * 1000:.0f} ms")
        done = self.integrate()
        self.expect("the blamed runs are reverted", set(blamed) <= set(done.reverted))
        self.expect("their folders are gone from main", self._hold(guilty, MAIN) == {False})
        dartifact = self.stage()
        self._promote()
        live = resolve(self.stack)
        self.expect("what is promoted next is without it", not set(blamed) & set(dartifact.runs)
                     and live.dartifact == dartifact.dartifact_id)  # fmt: skip

    # Moves

    def _catch_up(self) -> None:
        """Bring what an earlier, interrupted story left, whatever becomes of it."""
        if self.company.now > self.company.state.start:
            for each in INGESTORS:
                self.bring(*each, quietly=True)
            self.deliver()

    def bring(self, dataset: str, ingestor: str, *, quietly: bool = False) -> Run:
        """Let an ingestor bring its next window."""
        last = self.road.bring(dataset, ingestor)
        return last if quietly else self._tell_run(last)

    def bring_all(self) -> list[Run]:
        """Let all ingestors bring their next windows before any is merged."""
        return [self._tell_run(run) for run in self.road.bring_together(INGESTORS)]

    def _tell_run(self, run: Run) -> Run:
        self.narrator.say(
            f"  {run.ingestor.title()} brings {run.rows or 0:,} rows of {run.source} on {run.branch}: {run.phase}"
        )
        return run

    def deliver(self) -> tuple[Integration, Dartifact]:
        """Integrate, stage and promote."""
        done = self.integrate()
        dartifact = self.stage()
        self._promote()
        return done, dartifact

    def integrate(self) -> Integration:
        """Advance main."""
        done = self.road.integrate()
        if done.merged or done.reverted:
            self.narrator.say(
                f"  checked again on the merged result; main advances: {len(done.merged)} in, {len(done.reverted)} out"
            )
        return done

    def stage(self) -> Dartifact:
        """Make the dartifact of main."""
        dartifact = self.road.stage()
        if dartifact.state is DartifactState.RED:
            self.narrator.say(f"  dartifact {dartifact.dartifact_id} is red and goes nowhere")
            return dartifact
        checks = (dartifact.passport or {}).get("checks", {})
        self.narrator.say(
            f"  dartifact {dartifact.dartifact_id} is {dartifact.state}; {checks.get('passed', 0)} checks passed"
        )
        return dartifact

    def _promote(self) -> None:
        plan = self.road.promote()
        if plan is not None:
            self.narrator.say(
                f"  smoke-tested on the idle slot, then promoted: {plan.dartifact} is live on {plan.slot}"
            )

    def _timed(self, name: str, move: Callable[[], T]) -> T:
        started = time.monotonic()
        try:
            return move()
        finally:
            self.figures[name] = round(time.monotonic() - started, 3)

    def _timing(self, started: float, wanted: str) -> Callable[[str, Callable[[], T]], T]:
        def run(_: str, step: Callable[[], T]) -> T:
            result = step()
            if "rollback" not in self.figures and resolve(self.stack, "dashboard").commit == wanted:
                self.figures["rollback"] = round(time.monotonic() - started, 4)
            return result

        return run

    # Looks

    def _show_merge_requests(self, *runs: Run) -> None:
        for run in runs:
            events = {event.type: event.actor for event in self.stack.ledger.events(run_id=run.run_id)}
            if "MergeRequested" in events:
                self.narrator.say(
                    f"  merge of {run.branch}: requested, approved by {events.get('MergeApproved', 'nobody')}"
                )

    def look(self) -> tuple[Any, ...]:
        """Return what must not change when something is stopped: the content of main, and all that readers see."""
        return self.stack.lake.head(MAIN).meta_range, _commits(self.stack.ledger.pointer())

    def _hold(self, runs: Sequence[Run], branch: str) -> set[bool]:
        """Say of which of the runs a branch holds the rows: all {True}, none {False}, or both."""
        return {bool(self.stack.lake.list_objects(f"{branch}@", run_folder(run.source, run.run_id))) for run in runs}

    def _were_tested_together(self, *runs: Run) -> bool:
        """Say whether one candidate, tested as it was merged, brought all of the runs into main."""
        found = {self.stack.ledger.events(run_id=run.run_id, type="RunMerged")[-1].operation for run in runs}
        return len(found) == 1 and None not in found

    def _failing_rows(self, run: Run) -> tuple[dict[str, Any], ...]:
        report = self.stack.ledger.report(run.report) if run.report else None
        for result in report.results if report else ():
            if result.failing_rows:
                return read_failing_rows(self.stack, run, result)
        return ()

    def _revenue(self, commit: str) -> float:
        objects = self.stack.lake.list_objects(commit, "marts/customer_statistics")
        with duck.connect(self.stack.lake.access) as connection:
            duck.create_view(connection, "mart", self.stack.lake.locate(commit, objects), self.stack.lake.access)
            row = connection.execute("SELECT sum(revenue) FROM mart").fetchone()
        return float(row[0] or 0) if row else 0.0


def first_state(orders_per_tick: int) -> CompanyState:
    """Return the company the story is played with."""
    customers = max(DEFAULT.customers, orders_per_tick // 5)
    return CompanyState(DEFAULT.seed, DEFAULT.start, DEFAULT.start, orders_per_tick, customers)


def _commits(pointer: LivePointer) -> tuple[Any, ...]:
    return pointer.settled, tuple(slot.commit for slot in pointer.slots.values()), tuple(pointer.weights.values())
