"""What reads and actions share: the ledger and, where it is needed, the whole stack; opened once per process."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Any, TypeVar

import streamlit as st

from dartifact.adapters.ledger.ledger import Ledger
from dartifact.commands.stack import Stack
from dartifact.domain.errors import ChecksErrored, DartifactError, ServerUnavailable
from dartifact.domain.sources import Source
from dartifact.local.note import read_note
from dartifact.local.services import answers
from dartifact.project import declared_sources
from dartifact.settings import read_settings
from ui.people import Person, who

T = TypeVar("T")


def open_ledger() -> Ledger:
    """Return the ledger for who is known; PolicyRefused for others, also where only a part of a page is refreshed."""
    who()
    return _open_ledger()


@st.cache_resource(show_spinner=False)
def _open_ledger() -> Ledger:
    return Ledger(read_settings().ledger)


def open_stack(person: Person | None = None) -> Stack:
    """Return the stack, with the lake, for who acts; raises what the lake raises while it cannot be had.

    What runs outside of a session, as a download does once it is clicked, names the person it was offered to.
    """
    return _for_who_acts(person or who(), lake=True)


def open_ledger_stack() -> Stack:
    """Return a stack, for who acts, for what asks the ledger only."""
    return _for_who_acts(who(), lake=False)


def open_stack_surely() -> Stack:
    """Return the stack for a rollback: with the lake if it can be had, else with the ledger alone."""
    try:
        return open_stack()
    except (ServerUnavailable, ChecksErrored):
        return open_ledger_stack()


def _for_who_acts(person: Person, *, lake: bool) -> Stack:
    stack, _ = _open(lake=lake)
    return replace(
        stack,
        role=person.role,
        actor=person.actor,
        is_proven=person.is_proven,
        ledger=stack.ledger.used_from(person.place[:120]),
    )


def find_prefect() -> str:
    """Return the URL of Prefect's API; empty where none is known."""
    note = read_note(read_settings().home)
    return os.environ.get("PREFECT_API_URL", "") or (note.api_url if note else "")


@st.cache_resource(show_spinner=False)
def read_sources() -> Mapping[str, Source]:
    """Return the declared sources."""
    return declared_sources(read_settings().project)


@st.cache_resource(show_spinner="opening the lake")
def _open(*, lake: bool) -> tuple[Stack, ExitStack]:
    from dartifact import wiring  # noqa: PLC0415  (pages that need the ledger alone do not wait for it)

    owned = ExitStack()
    stack = owned.enter_context(wiring.open_stack(read_settings(), _say, lake=lake, sources=lake))
    return stack, owned


_MOST_JOBS = 50


@dataclass
class Jobs:
    """Work that no page waits for: each piece is done once, whoever asks, and pages ask again whether it is done."""

    pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(2))
    started: dict[tuple[str, ...], Future[Any]] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def ask(self, key: tuple[str, ...], work: Callable[[], T], patience: float = 0.0) -> T | None:
        """Return what a piece of work has brought, None if it is still under way after `patience` seconds.

        It is begun when it is asked for first. Raises what it raised; asked for again, it is begun anew.
        """
        with self._lock:
            job: Future[T] = self.started.get(key) or self.pool.submit(work)
            self.started[key] = job
            for old in [each for each, done in self.started.items() if done.done()][:-_MOST_JOBS]:
                del self.started[old]
        try:
            return job.result(timeout=patience)
        except TimeoutError:
            if not job.done():
                return None
            raise
        except DartifactError:
            self.started.pop(key, None)
            raise


@st.cache_resource(show_spinner=False)
def open_jobs() -> Jobs:
    """Return the work of this process that nobody waits for."""
    return Jobs()


def _say(line: str) -> None:
    print(line, file=sys.stderr)


@st.cache_data(ttl=5, show_spinner=False)
def is_prefect_up() -> bool | None:
    """Say whether the Prefect server answers; None where none is known, or it is somebody else's service."""
    url = find_prefect()
    return answers(f"{url}/health", timeout=0.5) if url.startswith("http://") else None
