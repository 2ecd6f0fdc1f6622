"""The two weeks that a demo begins with: real commands on a small company, whose books are exact afterwards."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import pytest

from dartifact.adapters.transform.dbt_build import DbtBuilder
from dartifact.demo.history import DAYS, History
from dartifact.demo.server import simulated_sources
from dartifact.demo.story import INGESTORS, first_state
from dartifact.domain.runs import Phase
from dartifact.project import load_source
from dartifact.settings import read_settings
from dartifact.wiring import open_stack
from tests.support.audit import find_faults
from tests.support.models import ModelBuilder


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_history_leaves_two_weeks_of_runs_a_bad_chunk_and_a_rollback(tmp_path: Path) -> None:
    settings = read_settings(home=tmp_path / "home")
    state_file = settings.home / "demo" / "company.json"
    told: list[str] = []
    with (
        open_stack(settings, print) as opened,
        simulated_sources(state_file, initial=first_state(5)) as company,
    ):
        stack = replace(opened, dbt=cast("DbtBuilder", ModelBuilder(settings.project / "dbt")))
        modules = {name: load_source(name, settings.project) for name, _ in INGESTORS}
        History(stack, company, modules, INGESTORS, told.append).play()
        ledger = stack.ledger
        runs = ledger.runs()
        days = {(datetime.now(UTC) - run.created_at) // timedelta(days=1) for run in runs}
        assert days == set(range(DAYS))
        counts = ledger.count_runs()
        assert counts[Phase.FAILED] in (1, 2)  # the bad rows of so small a chunk may all be of one shard
        assert counts[Phase.REVERTED] in (1, 2)
        assert len(ledger.events(type="ProductionRolledBack")) == 1
        faults = find_faults(stack, state_file)
        assert [each for each in faults if "left a gap" not in each] == []
        History(stack, company, modules, INGESTORS, told.append).play()
        assert len(ledger.runs()) == len(runs), "a company that has lived got a second history"
    assert len(told) == DAYS
