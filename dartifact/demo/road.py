"""The road that the story takes: the commands called one after the other, or Prefect's deployments."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Protocol, TypeVar

from dartifact.commands.ingest.ingest import ingest
from dartifact.commands.production.promote import promote
from dartifact.commands.queue.integrate import Integration, integrate
from dartifact.commands.stack import Runner, Stack
from dartifact.commands.staging.stage import stage
from dartifact.demo.server import SimulatedSources
from dartifact.domain.dartifacts import Dartifact
from dartifact.domain.plans import Plan
from dartifact.domain.runs import Run

T = TypeVar("T")


class Road(Protocol):
    """How the story moves data from a source to production.

    `extract_seconds` is what the last move spent in the source, None where that is not known.
    """

    extract_seconds: float | None

    def prepare(self) -> None:
        """Start what takes time to start."""

    def bring(self, dataset: str, ingestor: str) -> Run:
        """Bring the next window; return the run as it stands then."""

    def bring_together(
        self, ingestors: Sequence[tuple[str, str]], *, unchecked: frozenset[str] = frozenset()
    ) -> tuple[Run, ...]:
        """Bring the next window of each (dataset, ingestor) before any is merged, `unchecked` without local gate."""

    def integrate(self) -> Integration:
        """Advance `main`; what came in and went out since the last time."""

    def stage(self) -> Dartifact:
        """Make the dartifact of `main`."""

    def change_project(self, project: Path) -> AbstractContextManager[None]:
        """Stage with the dbt/ and checks/ of another folder inside the block."""

    def promote(self) -> Plan | None:
        """Bring it live; None when nothing waited."""


@dataclass
class DirectRoad:
    """The commands, called in this process; `runner` runs and shows each of their named steps."""

    stack: Stack
    company: SimulatedSources
    modules: Mapping[str, ModuleType]
    runner: Runner
    extract_seconds: float | None = None

    def prepare(self) -> None:
        """Start dbt's process."""
        self.stack.dbt.warm()

    def bring(self, dataset: str, ingestor: str, *, unchecked: frozenset[str] = frozenset()) -> Run:
        """Ingest."""
        module = self.modules[dataset]
        stack = replace(self.stack, policy=replace(self.stack.policy, skip_local_gate=unchecked))

        def run(name: str, step: Callable[[], T], /) -> T:
            started = time.monotonic()
            try:
                return self.runner(name, step)
            finally:
                if name.startswith("extract"):
                    self.extract_seconds = time.monotonic() - started

        extractor = module.extract(self.company.access(dataset))
        runs = ingest(stack, module.SOURCE, extractor, ingestor, actor=f"ingestor:{ingestor}", runner=run)
        return runs[-1] if runs else self.stack.ledger.runs(ingestor=ingestor, most=1)[0]

    def bring_together(
        self, ingestors: Sequence[tuple[str, str]], *, unchecked: frozenset[str] = frozenset()
    ) -> tuple[Run, ...]:
        """Ingest one after the other."""
        runs, extracting = [], 0.0
        for each in ingestors:
            runs.append(self.bring(*each, unchecked=unchecked))
            extracting += self.extract_seconds or 0.0
        self.extract_seconds = extracting
        return tuple(runs)

    def integrate(self) -> Integration:
        """Integrate."""
        return integrate(self.stack, actor="policy:integrate", runner=self.runner)

    def stage(self) -> Dartifact:
        """Stage."""
        return stage(self.stack, actor="policy:stage", runner=self.runner)

    @contextmanager
    def change_project(self, project: Path) -> Iterator[None]:
        """Stage with a dbt process of that project."""
        own = self.stack
        with own.dbt.of_project(project / "dbt", own.home / "dbt-demo") as dbt:
            self.stack = replace(own, project=project, dbt=dbt)
            try:
                yield
            finally:
                self.stack = own

    def promote(self) -> Plan | None:
        """Promote."""
        return promote(self.stack, actor="policy:promote", runner=self.runner, patience=math.inf)
