"""What stands in for sources without a URL: the simulated company, in a home in which a demo has played."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from dartifact.cli.frame import say
from dartifact.domain.sources import SourceAccess

if TYPE_CHECKING:
    from dartifact.local.services import SourceService
    from dartifact.wiring import StandIn


def find_stand_in(home: Path) -> StandIn | None:
    """Return what one ingest asks; None where no demo has played."""
    from dartifact.demo.stand_in import ask_company, company_file  # noqa: PLC0415

    if not company_file(home).exists():
        return None

    @contextmanager
    def ask(dataset: str) -> Iterator[SourceAccess]:
        say(f"no URL is set for {dataset} (DARTIFACT_SOURCE_URLS): asking the simulated company")
        with ask_company(home, dataset) as access:
            yield access

    return ask


def find_service(home: Path) -> SourceService | None:
    """Return what serves the sources beside `dartifact up`; None where no demo has played."""
    from dartifact.demo.stand_in import CompanyService, company_file  # noqa: PLC0415

    return CompanyService(home) if company_file(home).exists() else None
