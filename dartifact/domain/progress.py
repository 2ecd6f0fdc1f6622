"""Progress: how whoever waits for a command is told, line by line, what it does."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str], None]


def keep_quiet(line: str) -> None:
    """Tell nobody."""
