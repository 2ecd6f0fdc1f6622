"""Hints: what helps now, as values. The command line renders a verb as it is typed, a page as a link."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Command:
    """A verb of the command line with what it is given, e.g. `Command("show", run_id)`."""

    name: str
    arguments: str = ""

    def __str__(self) -> str:
        """Return it as it is typed."""
        return f"dartifact {self.name} {self.arguments}".rstrip()


@dataclass(frozen=True, slots=True)
class Hint:
    """Words and verbs in the order in which they are read; without any there is nothing to advise."""

    parts: tuple[str | Command, ...] = ()

    def __bool__(self) -> bool:
        """Say whether there is anything to advise."""
        return any(self.parts)

    def __str__(self) -> str:
        """Return it for a terminal."""
        return "".join(str(part) for part in self.parts)

    @classmethod
    def of(cls, given: str | Command | tuple[str | Command, ...] | Hint) -> Hint:
        """Return what was written down at a `raise` as a hint."""
        if isinstance(given, Hint):
            return given
        return cls(given if isinstance(given, tuple) else (given,))
