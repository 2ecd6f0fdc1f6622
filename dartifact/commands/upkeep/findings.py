"""What was looked at, and how it is."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from dartifact.domain.errors import DartifactError


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: what, whether it is well, what was found, what to do if not."""

    what: str
    ok: bool
    found: str
    advice: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


class Unwell(DartifactError):
    """Something is missing, too small, or stands still. Do what the hint names."""
