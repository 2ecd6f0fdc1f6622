"""The simulated company as what stands in for sources without a URL, in the home of a demo."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from dartifact.demo.company import CompanyState
from dartifact.demo.records import DATASETS
from dartifact.demo.server import SimulatedSources, simulated_sources
from dartifact.domain.sources import SourceAccess


def company_file(home: Path) -> Path:
    """Return where the company of a home keeps its state."""
    return home / "demo" / "company.json"


@contextmanager
def ask_company(home: Path, dataset: str) -> Iterator[SourceAccess]:
    """Yield how to reach a dataset of the home's company, five minutes later each time."""
    with simulated_sources(company_file(home)) as company:
        company.advance()
        yield company.access(dataset)


@dataclass
class CompanyService:
    """The company in a thread of the launcher; where it has no state yet it begins as `initial`."""

    home: Path
    initial: CompanyState | None = None
    name: str = "simulated company"
    pid: int = 0
    log: str = ""
    _company: SimulatedSources | None = None
    _running: ExitStack = field(default_factory=ExitStack)

    @property
    def company(self) -> SimulatedSources:
        """Return what is served, once it is."""
        assert self._company is not None
        return self._company

    @property
    def where(self) -> str:
        """Return its URL."""
        return self._company.url if self._company else ""

    def start(self) -> None:
        """Serve it."""
        state_file = company_file(self.home)
        initial = None if state_file.exists() else self.initial
        self._company = self._running.enter_context(simulated_sources(state_file, initial=initial))

    def find_fault(self) -> str:
        """It lives and dies with the launcher."""
        return ""

    def stop(self) -> None:
        """Stop serving."""
        self._running.close()

    def environment(self, given: Mapping[str, str]) -> dict[str, str]:
        """Return the settings that lead flow runs to the company where nothing else is set."""
        reached = {dataset: self.company.access(dataset) for dataset in DATASETS if dataset not in given}
        urls = {dataset: access.url for dataset, access in reached.items()} | dict(given)
        env = {"DARTIFACT_SOURCE_URLS": json.dumps(urls)}
        for access in reached.values():
            if access.client_id:
                env["DARTIFACT_SALESFORCE_CLIENT_ID"] = access.client_id
                env["DARTIFACT_SALESFORCE_CLIENT_SECRET"] = access.client_secret
            if access.ca_file:
                env["DARTIFACT_SALESFORCE_CA_FILE"] = str(access.ca_file)
        return env

    def advance(self) -> None:
        """Let five minutes happen."""
        self.company.advance()
