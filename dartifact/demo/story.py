"""The story of the product in chapters, played on the real systems, each ending with what must hold."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from dartifact.adapters.lakefs.lake import MAIN
from dartifact.adapters.tables import duck
from dartifact.commands.gates.failing_rows import read_failing_rows
from dartifact.commands.production.resolution import resolve
from dartifact.commands.queue.integrate import Integration
from dartifact.commands.stack import Stack
from dartifact.demo.company import CompanyState
from dartifact.demo.road import Road
from dartifact.demo.server import DEFAULT, SimulatedSources
from dartifact.domain.dartifacts import Dartifact, DartifactState
from dartifact.domain.events import EventType
from dartifact.domain.plans import LivePointer
from dartifact.domain.runs import Run, run_folder

T = TypeVar("T")

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

    @contextmanager
    def chapter(self, name: str) -> Iterator[None]:
        """Play one chapter inside the block."""
        self.narrator.chapter(f"{len(self.chapters) + 1}. {name}")
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

    # Moves

    def catch_up(self) -> None:
        """Bring what an earlier, interrupted story left, whatever becomes of it."""
        if self.company.now > self.company.state.start:
            for each in INGESTORS:
                self.bring(*each, quietly=True)
            self.deliver()

    def bring(self, dataset: str, ingestor: str, *, quietly: bool = False) -> Run:
        """Let an ingestor bring its next window."""
        last = self.road.bring(dataset, ingestor)
        return last if quietly else self.tell_run(last)

    def bring_all(self) -> list[Run]:
        """Let all ingestors bring their next windows before any is merged."""
        return [self.tell_run(run) for run in self.road.bring_together(INGESTORS)]

    def tell_run(self, run: Run) -> Run:
        """Say what a run brought, and return it."""
        self.narrator.say(
            f"  {run.ingestor.title()} brings {run.rows or 0:,} rows of {run.source} on {run.branch}: {run.phase}"
        )
        return run

    def deliver(self) -> tuple[Integration, Dartifact]:
        """Integrate, stage and promote."""
        done = self.integrate()
        dartifact = self.stage()
        self.promote()
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

    def promote(self) -> None:
        """Bring the newest green dartifact live."""
        plan = self.road.promote()
        if plan is not None:
            self.narrator.say(
                f"  smoke-tested on the idle slot, then promoted: {plan.dartifact} is live on {plan.slot}"
            )

    def timed(self, name: str, move: Callable[[], T]) -> T:
        """Make a move and keep the seconds it took."""
        started = time.monotonic()
        try:
            return move()
        finally:
            self.figures[name] = round(time.monotonic() - started, 3)

    def timing(self, started: float, wanted: str) -> Callable[[str, Callable[[], T]], T]:
        """Return a runner of steps that notes when readers are sent to the `wanted` commit."""

        def run(_: str, step: Callable[[], T]) -> T:
            result = step()
            if "rollback" not in self.figures and resolve(self.stack, "dashboard").commit == wanted:
                self.figures["rollback"] = round(time.monotonic() - started, 4)
            return result

        return run

    # Looks

    def show_merge_requests(self, *runs: Run) -> None:
        """Say who approved the merge requests."""
        for run in runs:
            events = {event.type: event.actor for event in self.stack.ledger.events(run_id=run.run_id)}
            if EventType.MERGE_REQUESTED in events:
                self.narrator.say(
                    f"  merge of {run.branch}: requested, approved by {events.get(EventType.MERGE_APPROVED, 'nobody')}"
                )

    def look(self) -> tuple[Any, ...]:
        """Return what must not change when something is stopped: the content of main, and all that readers see."""
        return self.stack.lake.head(MAIN).meta_range, _commits(self.stack.ledger.pointer())

    def hold(self, runs: Sequence[Run], branch: str) -> set[bool]:
        """Say of which of the runs a branch holds the rows: all {True}, none {False}, or both."""
        return {bool(self.stack.lake.list_objects(f"{branch}@", run_folder(run.source, run.run_id))) for run in runs}

    def were_tested_together(self, *runs: Run) -> bool:
        """Say whether one candidate, tested as it was merged, brought all of the runs into main."""
        found = {self.stack.ledger.events(run_id=run.run_id, type=EventType.RUN_MERGED)[-1].operation for run in runs}
        return len(found) == 1 and None not in found

    def failing_rows(self, run: Run) -> tuple[dict[str, Any], ...]:
        """Return the failing rows of a run."""
        report = self.stack.ledger.report(run.report) if run.report else None
        for result in report.results if report else ():
            if result.failing_rows:
                return read_failing_rows(self.stack, run, result)
        return ()

    def revenue(self, commit: str) -> float:
        """Return the revenue in the mart at a commit."""
        objects = self.stack.lake.list_objects(commit, "marts/customer_statistics")
        with duck.connect() as connection:
            duck.create_view(connection, "mart", self.stack.lake.locate(commit, objects), self.stack.lake.access)
            row = connection.execute("SELECT sum(revenue) FROM mart").fetchone()
        return float(row[0] or 0) if row else 0.0


def first_state(orders_per_tick: int) -> CompanyState:
    """Return the company the story is played with."""
    customers = max(DEFAULT.customers, orders_per_tick // 5)
    return CompanyState(DEFAULT.seed, DEFAULT.start, DEFAULT.start, orders_per_tick, customers)


def _commits(pointer: LivePointer) -> tuple[Any, ...]:
    return pointer.settled, tuple(slot.commit for slot in pointer.slots.values()), tuple(pointer.weights.values())
