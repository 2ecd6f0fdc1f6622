"""The road through Prefect: deployments are started, and the stations start each other."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from dartifact.adapters.lakefs.lake import MAIN
from dartifact.commands.leases import hold_lease
from dartifact.commands.production.choice import choose_promotion
from dartifact.commands.queue.integrate import Integration
from dartifact.commands.stack import Runner, Stack
from dartifact.domain.dartifacts import Dartifact, DartifactState
from dartifact.domain.errors import ServerUnavailable
from dartifact.domain.events import EventType
from dartifact.domain.plans import Plan, PlanKind
from dartifact.domain.queue import runs_in
from dartifact.domain.runs import Phase, Run
from dartifact.local.prefect_api import PrefectApi
from dartifact.local.services import Stopped

T = TypeVar("T")

_PATIENCE = 300.0
_QUIET_LOOKS = 3
_POLL_SECONDS = 0.3
_TRIES = 3


@dataclass
class PrefectRoad:
    """Starts the deployments of a Prefect server and waits for what they and the stations after them do."""

    stack: Stack
    api: PrefectApi
    step: Runner
    stopping: threading.Event
    extract_seconds: float | None = None
    _deployments: dict[str, Any] = field(default_factory=dict)
    _told: int = 0
    _promoted: str = ""

    def prepare(self) -> None:
        """Read what is deployed and where the ledger stands."""
        self._deployments = self._ask(self.api.deployments)
        self._told = self.stack.ledger.last_event()

    def bring(self, dataset: str, ingestor: str) -> Run:
        """Run the ingestor's deployment."""
        self._run(f"ingest-{dataset}-{ingestor}")
        return self.stack.ledger.runs(ingestor=ingestor, most=1)[0]

    def bring_together(
        self, ingestors: Sequence[tuple[str, str]], *, unchecked: frozenset[str] = frozenset()
    ) -> tuple[Run, ...]:
        """Run the deployments at the same time; the station that would merge the first alone finds its lease taken."""
        names = [f"ingest-{dataset}-{ingestor}" for dataset, ingestor in ingestors]
        env = {"DARTIFACT_SKIP_LOCAL_GATE": json.dumps(sorted(unchecked))}
        with hold_lease(self.stack.ledger, "integrate"):
            started = [self._start(name, env) for name in names]
            for name, flow_run in zip(names, started, strict=True):
                self.step(f"{name} runs in Prefect", partial(self._await_end, flow_run, name))
            self._wait_for_quiet()
        return tuple(self.stack.ledger.runs(ingestor=ingestor, most=1)[0] for _, ingestor in ingestors)

    def integrate(self) -> Integration:
        """Wait until the merge queue is empty; whoever queued a run has started the station already."""
        self._settle("integrate", self._has_queue)
        done = Integration()
        lists: dict[str, list[str]] = {EventType.RUN_MERGED: done.merged, EventType.RUN_REVERTED: done.reverted}
        for event in self.stack.ledger.events(most=500):
            if event.sequence > self._told and event.run_id:
                lists.get(event.type, []).append(event.run_id)
        self._told = self.stack.ledger.last_event()
        return done

    def stage(self) -> Dartifact:
        """Wait until there is a dartifact of `main`."""
        self._settle("stage", lambda: self._find_dartifact() is None)
        found = self._find_dartifact()
        if found is None:
            raise ServerUnavailable("the station stage made no dartifact of main", hint="see the worker's log")
        return found

    @contextmanager
    def change_project(self, project: Path) -> Iterator[None]:
        """Give the station that folder, as a deployment of changed code does."""
        station = self._deployments["stage"]
        self._ask(lambda: self.api.set_environment(station, DARTIFACT_PROJECT=str(project)))
        try:
            self._run("stage")
            yield
        finally:
            self._ask(lambda: self.api.set_environment(station))

    def promote(self) -> Plan | None:
        """Wait until nothing waits to be promoted."""
        self._settle("promote", lambda: choose_promotion(self.stack) is not None)
        last = next(iter(self.stack.ledger.promotions(most=1)), None)
        if last is None or last.plan.plan_id == self._promoted or last.plan.kind is not PlanKind.PROMOTION:
            return None
        self._promoted = last.plan.plan_id
        return last.plan

    def _has_queue(self) -> bool:
        ledger = self.stack.ledger
        return bool(ledger.runs(phases=(Phase.QUEUED,), most=1) or ledger.pending_reverts())

    def _find_dartifact(self) -> Dartifact | None:
        there = set(runs_in(each.path for each in self.stack.lake.list_objects(f"{MAIN}@", "raw/")))
        known = self.stack.ledger.dartifacts(most=50)
        ready = (each for each in known if set(each.runs) == there and each.state is not DartifactState.BUILDING)
        return next(ready, None)

    def _settle(self, station: str, has_work: Callable[[], bool]) -> None:
        """Wait until no flow run is under way or due; if there is work left, start the station for it."""
        for _ in range(_TRIES):
            self.step(f"{station}: the stations start each other", self._wait_for_quiet)
            if not has_work():
                return
            self._run(station)
        self._wait_for_quiet()

    def _run(self, deployment: str) -> None:
        for _ in range(_TRIES):
            if self.step(f"{deployment} runs in Prefect", lambda: self._wait_for(deployment)):
                return
            self._wait_for_quiet()  # it was cancelled because another one of it was running

    def _wait_for(self, deployment: str) -> bool:
        return self._await_end(self._start(deployment), deployment)

    def _start(self, deployment: str, env: Mapping[str, str] | None = None) -> str:
        name, key = self._deployments[deployment]["id"], uuid4().hex
        return self._ask(lambda: self.api.start(name, key, env))

    def _await_end(self, flow_run: str, deployment: str) -> bool:
        deadline = time.monotonic() + _PATIENCE
        while (run := self._ask(lambda: self.api.read_ended(flow_run))) is None:
            self._pause(deadline, deployment)
        return bool(run["state_type"] != "CANCELLED")

    def _wait_for_quiet(self) -> None:
        # What a run starts as its last act is there before the run has ended; a few looks for good measure.
        quiet, deadline = 0, time.monotonic() + _PATIENCE
        while quiet < _QUIET_LOOKS:
            is_busy = self._ask(lambda: bool(self.api.due() or self.api.under_way()))
            quiet = 0 if is_busy else quiet + 1
            self._pause(deadline, "what is under way")

    def _ask(self, question: Callable[[], T]) -> T:
        """Ask Prefect again until it answers: a busy or killed server is back in a moment."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                return question()
            except ServerUnavailable:
                self._pause(deadline, "the silence of the Prefect server")

    def _pause(self, deadline: float, what: str) -> None:
        if self.stopping.wait(_POLL_SECONDS):
            raise Stopped
        if time.monotonic() > deadline:
            raise ServerUnavailable(f"{what} did not end within {_PATIENCE:.0f} s", hint="see the worker's log")
