"""Soda's log records, kept from everybody else's handlers: it logs to the root logger and leaves a handler there."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Capture(logging.Filter):
    """Keep one thread's records from all handlers, and hand them to Soda's own book-keeping of errors."""

    def __init__(self) -> None:
        super().__init__()
        self.thread = threading.get_ident()
        self.records: list[logging.LogRecord] = []
        self.forward: Any = None

    def filter(self, record: logging.LogRecord) -> bool:
        """Take a record of the thread, and let those of others pass."""
        if threading.get_ident() != self.thread:
            return True
        self.records.append(record)
        if self.forward:
            self.forward(record)
        return False


@contextmanager
def quiet() -> Iterator[Capture]:
    """Silence Soda on this thread, and leave the root logger as it was: with its handler basicConfig does nothing."""
    capture, root = Capture(), logging.getLogger()
    loggers = (root, logging.getLogger("soda"), logging.getLogger("soda_core.plugins"))
    handlers = list(root.handlers)
    for logger in loggers:
        logger.addFilter(capture)
    try:
        yield capture
    finally:
        for logger in loggers:
            logger.removeFilter(capture)
        for handler in [each for each in root.handlers if each not in handlers]:
            if type(handler).__module__.startswith("soda_core"):
                root.removeHandler(handler)


def cut_error(error: str) -> str:
    """Return what a person needs of an error: the database's sentence without the query around it."""
    found = re.search(r"[A-Z]\w* Error: .*", error, re.DOTALL)
    text = " ".join(re.split(r"\n\s*\n|\nLINE |\n\tCandidate", found[0] if found else error)[0].split())
    return text if len(text) <= 300 else text[:300] + "…"
