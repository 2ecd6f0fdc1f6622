"""The simulated sources: a company's orders over REST, its customers over Salesforce's API too, and faults to order."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from dartifact.demo.company import CompanyState
from dartifact.demo.controls import Control, Outage
from dartifact.demo.records import DATASETS
from dartifact.demo.rest_api import RestHandler
from dartifact.demo.salesforce import CLIENT_ID, CLIENT_SECRET, SimulatedSalesforce
from dartifact.demo.state_file import DEFAULT, StateFile
from dartifact.demo.web import Server
from dartifact.domain.errors import UsageError
from dartifact.domain.sources import SourceAccess

__all__ = ["DEFAULT", "STALL_SECONDS", "SimulatedSources", "simulated_sources"]

STALL_SECONDS = 120.0
_LOOK_AGAIN = 0.5


class SimulatedSources:
    """A company served on loopback. State is read from `state_file`, or begins as `initial`, and kept at every change.

    Several processes may serve one file at the same time: each shows, and changes, what all of them have made of it.
    A state file of a different company than the given `initial` is a UsageError: it would silently win otherwise.
    """

    def __init__(self, state_file: Path, *, initial: CompanyState | None = None, port: int = 0) -> None:
        self._kept = StateFile(state_file, initial)
        self._changed = threading.Condition()
        self._stopped = False
        self._server = Server(self, RestHandler, port)
        self._salesforce: SimulatedSalesforce | None = None
        self._folder = state_file.parent

    @property
    def url(self) -> str:
        """Return the base URL of the REST API."""
        return self._server.url

    @property
    def now(self) -> datetime:
        """Return the simulated time."""
        return self.state.now

    @property
    def state(self) -> CompanyState:
        """Return the company's state, from which `Company.from_state` makes the rows served."""
        return self._kept.look().company

    @property
    def token_calls(self) -> int:
        """Return after how many calls a token of Salesforce expires, 0 for never."""
        return self._kept.look().token_calls

    @property
    def is_stopped(self) -> bool:
        """Say whether `stop` was called."""
        return self._stopped

    @property
    def salesforce(self) -> SimulatedSalesforce:
        """Return the company's Salesforce org; it is started when it is asked for first."""
        with self._changed:
            if self._salesforce is None:
                self._salesforce = SimulatedSalesforce(self, self._folder)
                self._salesforce.start()
            return self._salesforce

    def access(self, dataset: str) -> SourceAccess:
        """Return how the demo's flow file of a dataset reaches it: customers in Salesforce, orders over REST."""
        if dataset != "customers":
            return SourceAccess(self.url)
        return SourceAccess(self.salesforce.url, CLIENT_ID, CLIENT_SECRET, self.salesforce.ca_file)

    def told_time(self) -> float:
        """Return the time the sources tell, in seconds since 1970: the company's and the skew of their clocks."""
        kept = self._kept.look()
        return kept.company.now.timestamp() + kept.clock_skew

    def start(self) -> None:
        """Answer requests until `stop`."""
        self._server.start()

    def stop(self) -> None:
        """Stop answering; stalled requests are let go."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        self._server.stop()
        if self._salesforce is not None:
            self._salesforce.stop()

    def advance(self, ticks: int = 1) -> None:
        """Let `ticks` x 5 minutes happen."""
        self._kept.change(lambda kept: replace(kept, company=kept.company.advance(ticks)))

    def add_fault(self, dataset: str, kind: str) -> None:
        """Spoil the next tick of a dataset."""
        self._kept.change(lambda kept: replace(kept, company=kept.company.add_fault(dataset, kind)))

    def set_clock_skew(self, seconds: float) -> None:
        """Let the sources' clocks be ahead of their records."""
        self._kept.change(lambda kept: replace(kept, clock_skew=seconds))

    def set_token_calls(self, calls: int) -> None:
        """Let each new token of Salesforce expire after so many calls, with 0 never."""
        self._kept.change(lambda kept: replace(kept, token_calls=calls))

    def set_outage(self, dataset: str | None, kind: str) -> None:
        """Let a dataset (None: every one) misbehave until told otherwise; `none` ends it."""
        if dataset is not None and dataset not in DATASETS:
            raise UsageError(f"no dataset {dataset!r}; there are: {', '.join(DATASETS)}")
        if kind not in set(Outage):
            raise UsageError(f"no outage {kind!r}; there are: {', '.join(Outage)}")
        changed = dict.fromkeys(DATASETS if dataset is None else (dataset,), Outage(kind))
        self._kept.change(lambda kept: replace(kept, outages={**kept.outages, **changed}))
        with self._changed:
            self._changed.notify_all()

    def apply(self, control: Control) -> None:
        """Do what a control asks for."""
        if control.advance_ticks is not None:
            self.advance(control.advance_ticks)
        elif control.fault is not None:
            self.add_fault(control.fault.dataset, control.fault.kind)
        elif control.outage is not None:
            self.set_outage(control.dataset, control.outage)
        elif control.clock_skew is not None:
            self.set_clock_skew(control.clock_skew)
        elif control.token_calls is not None:
            self.set_token_calls(control.token_calls)

    def to_json(self) -> dict[str, Any]:
        """Return the whole state as plain JSON values, as it is kept in the file."""
        return self._kept.look().to_json()

    def await_outage(self, dataset: str) -> Outage | None:
        """Return how a dataset misbehaves, after having stalled if it is slow; None once stopped."""
        ends = time.monotonic() + STALL_SECONDS
        with self._changed:
            while not self._stopped:
                outage = self._kept.look().outages[dataset]
                if outage is not Outage.SLOW or time.monotonic() > ends:
                    return outage
                self._changed.wait(_LOOK_AGAIN)  # another process may end the stall, and tells nobody
            return None


@contextmanager
def simulated_sources(
    state_file: Path, *, initial: CompanyState | None = None, port: int = 0
) -> Iterator[SimulatedSources]:
    """Serve simulated sources for the time of a `with` block."""
    sources = SimulatedSources(state_file, initial=initial, port=port)
    sources.start()
    try:
        yield sources
    finally:
        sources.stop()
