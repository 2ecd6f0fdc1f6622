"""Two weeks of history, so that no page of a demo is empty: a run of each ingestor a day, and what goes wrong in life.

The commands do all of it; only the clock is set back, so that what the ledger tells lies where it would have happened.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import ModuleType

from dartifact.adapters.ledger.ledger import Ledger
from dartifact.commands.ingest.ingest import ingest
from dartifact.commands.production.promote import promote
from dartifact.commands.production.rollback import roll_back
from dartifact.commands.production.under_way import find_under_way
from dartifact.commands.queue.integrate import integrate
from dartifact.commands.stack import Stack
from dartifact.commands.staging.stage import stage
from dartifact.demo.records import TICK
from dartifact.demo.server import SimulatedSources
from dartifact.domain.dartifacts import Cause
from dartifact.domain.progress import Progress
from dartifact.domain.runs import Phase, Run

DAYS = 14
_DAY_TICKS = timedelta(days=1) // TICK
_CHUNK_TICKS = 6
_DELIVERED_DAYS = frozenset({1, 5, 9, 10, DAYS})
_ACTOR = "person:analyst"


@dataclass
class History:
    """Plays the days up to now; `progress` is told where it is."""

    stack: Stack
    company: SimulatedSources
    modules: Mapping[str, ModuleType]
    ingestors: tuple[tuple[str, str], ...]
    progress: Progress
    _now: datetime = field(init=False)

    def play(self) -> None:
        """Play all days; a company that has lived already has its history."""
        if self.company.now > self.company.state.start:
            return
        ledger = Ledger(self.stack.ledger.url, clock=lambda: self._now)
        self.stack = replace(self.stack, ledger=ledger, clock=lambda: self._now)
        today = datetime.now(UTC)
        try:
            for day in range(1, DAYS + 1):
                self._now = today - timedelta(days=DAYS + 1 - day)
                self.progress(f"two weeks of history: day {day} of {DAYS}")
                self._play_day(day)
        finally:
            ledger.close()

    def _play_day(self, day: int) -> None:
        match day:
            case 5:
                self._bring(_DAY_TICKS - 2 * _CHUNK_TICKS)
                self.company.add_fault("orders", "negative_amounts")
                self._bring(_CHUNK_TICKS)
                self._bring(_CHUNK_TICKS)
            case 10:
                self._bring(_DAY_TICKS - _CHUNK_TICKS)
                self.company.add_fault("orders", "net_amounts")
                guilty = self._bring(_CHUNK_TICKS)
                self._deliver()
                names = [run.run_id for run in guilty if run.source == "orders"]
                blamed = tuple(run.run_id for run in self.stack.ledger.runs(names=names, phases=(Phase.LIVE,)))
                roll_back(self.stack, cause=Cause(blamed), reason="amounts are net of tax", actor=_ACTOR)
                integrate(self.stack, actor="policy:integrate")
            case _:
                self._bring(_DAY_TICKS)
        if day in _DELIVERED_DAYS:
            self._deliver()

    def _bring(self, ticks: int) -> list[Run]:
        """Let time pass, then bring and integrate what has happened."""
        self.company.advance(ticks)
        self._now += ticks * TICK
        runs: list[Run] = []
        for dataset, ingestor in self.ingestors:
            module = self.modules[dataset]
            extractor = module.extract(self.company.access(dataset))
            runs += ingest(self.stack, module.SOURCE, extractor, ingestor, actor=f"ingestor:{ingestor}")
        integrate(self.stack, actor="policy:integrate")
        return runs

    def _deliver(self) -> None:
        stage(self.stack, actor="policy:stage")
        promote(self.stack, actor="policy:promote")
        while (under_way := find_under_way(self.stack)) is not None and under_way.goes_on_at is not None:
            self._now = under_way.goes_on_at
            promote(self.stack, actor="policy:promote")
