"""What the pages show: documents from the ledger, read alike by CLI and UI."""

from __future__ import annotations

from typing import Any

import streamlit as st

from flows import documents
from flows.adapters.ledger import Ledger
from flows.domain.runs import Phase
from flows.settings import read_settings


@st.cache_resource
def open_ledger() -> Ledger:
    """Open the ledger of the settings once per process."""
    return Ledger(read_settings().ledger)


def list_runs(phase: str | None, most: int = 200) -> list[dict[str, Any]]:
    """Return runs as documents, the newest first, in one phase or in all."""
    phases = (Phase(phase),) if phase else None
    return [documents.describe_run(run) for run in open_ledger().runs(phases=phases, most=most)]


def count_phases() -> dict[str, int]:
    """Return how many runs are in each phase, in the order of the road."""
    counts = open_ledger().count_runs()
    return {phase.value: counts[phase] for phase in Phase if counts.get(phase)}


def read_production() -> dict[str, Any]:
    """Return where production stands."""
    pointer = open_ledger().pointer()
    return {"live": pointer.live, **documents.describe_production(pointer)}


def list_holes() -> list[dict[str, Any]]:
    """Return the windows whose rows are missing from `main`, with the run that left each."""
    return [
        {"source": window.source, "lo": window.lo, "hi": window.hi, "state": window.state.value, "run": run_id}
        for window, run_id in open_ledger().holes()
    ]
