"""What stands in for sources without a URL: the simulated company, in a home in which a demo has played."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dartifact.cli.frame import print_progress
from dartifact.demo.stand_in import CompanyService, ask_company, company_file
from dartifact.domain.sources import SourceAccess
from dartifact.local.services import SourceService
from dartifact.wiring import StandIn


def find_stand_in(home: Path) -> StandIn | None:
    """Return what one ingest asks; None where no demo has played."""
    if not company_file(home).exists():
        return None

    @contextmanager
    def ask(dataset: str) -> Iterator[SourceAccess]:
        print_progress(f"no URL is set for {dataset} (DARTIFACT_SOURCE_URLS): asking the simulated company")
        with ask_company(home, dataset) as access:
            yield access

    return ask


def find_service(home: Path) -> SourceService | None:
    """Return what serves the sources beside `dartifact up`; None where no demo has played."""
    return CompanyService(home) if company_file(home).exists() else None
