"""What reads and actions share: the ledger and, where it is needed, the whole stack; opened once per process."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import streamlit as st

from flows.adapters.ledger import Ledger
from flows.commands.stack import Stack
from flows.domain.errors import ChecksErrored, ServerUnavailable
from flows.domain.sources import Source
from flows.settings import read_settings
from ui.people import who


@st.cache_resource
def open_ledger() -> Ledger:
    """Open the ledger of the settings once per process."""
    return Ledger(read_settings().ledger)


def open_stack() -> Stack:
    """Return the stack, with the lake, for who acts; raises what the lake raises while it cannot be had."""
    stack, _ = _open(lake=True)
    return replace(stack, role=who().role)


def open_ledger_stack() -> Stack:
    """Return a stack, for who acts, for what asks the ledger only."""
    stack, _ = _open(lake=False)
    return replace(stack, role=who().role)


def open_stack_surely() -> Stack:
    """Return the stack for a rollback: with the lake if it can be had, else with the ledger alone."""
    try:
        return open_stack()
    except (ServerUnavailable, ChecksErrored):
        return open_ledger_stack()


@st.cache_resource
def read_sources() -> Mapping[str, Source]:
    """Return the declared sources."""
    from flows import wiring  # noqa: PLC0415

    return wiring.declared_sources(read_settings().project)


@st.cache_resource
def _open(*, lake: bool) -> tuple[Stack, Any]:
    from flows import wiring  # noqa: PLC0415  (pages that need the ledger alone do not wait for it)

    owned = ExitStack()
    stack = owned.enter_context(wiring.open_stack(read_settings(), _say, lake=lake, sources=lake))
    return stack, owned


def _say(line: str) -> None:
    print(line, file=sys.stderr)
