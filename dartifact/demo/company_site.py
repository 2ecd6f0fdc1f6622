"""What the servers of the simulated company ask of it."""

from __future__ import annotations

from typing import Any, Protocol

from dartifact.demo.company import CompanyState
from dartifact.demo.controls import Control, Outage
from dartifact.demo.web import Site


class CompanySite(Site, Protocol):
    """The company behind a server."""

    @property
    def state(self) -> CompanyState:
        """Return the company's state."""

    @property
    def token_calls(self) -> int:
        """Return after how many calls a token of Salesforce expires, 0 for never."""

    def await_outage(self, dataset: str) -> Outage | None:
        """Return how a dataset misbehaves, after having stalled if it is slow; None once stopped."""

    def apply(self, control: Control) -> None:
        """Do what a control asks for."""

    def to_json(self) -> dict[str, Any]:
        """Return the whole state as plain JSON values."""
