"""Waiting for what another thread, process or server does."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_until(condition: Callable[[], object], seconds: float = 60, *, every: float = 0.02) -> None:
    """Return as soon as the condition holds; the limit is only there to end a test that fails.

    `every` is the pause between two looks: seconds where a look costs those something who are waited for.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(every)
