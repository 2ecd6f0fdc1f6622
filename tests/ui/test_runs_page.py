"""The page of runs, on a real ledger."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from dartifact.adapters.ledger.ledger import Ledger
from dartifact.domain.runs import Phase
from tests.conftest import PROJECT
from tests.support.sources import CUSTOMERS
from tests.ui.pages import open_page, press, said

APP = str(PROJECT / "ui" / "app.py")


@pytest.fixture
def ledger_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Give the UI a ledger of its own."""
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    monkeypatch.setenv("DARTIFACT_LEDGER_URL", url)
    st.cache_resource.clear()
    return url


def test_an_empty_ledger_says_what_to_do_next(ledger_url: str) -> None:
    page = AppTest.from_file(APP, default_timeout=30).run()
    assert not page.exception
    assert "dartifact ingest" in said(page)
    assert "nothing live" in said(page)
    assert "You are person:" in said(page)


def test_a_failed_run_is_shown_with_its_branch_and_reason(ledger_url: str) -> None:
    ledger = Ledger(ledger_url)
    lo = datetime(2021, 1, 1, tzinfo=UTC)
    with ledger.write() as tx:
        run = tx.windows.claim(CUSTOMERS, "dana", lo, lo + timedelta(minutes=5), after=None, actor="test")
        tx.runs.move(run.run_id, Phase.CHECKING, "BatchCommitted", "test")
        tx.runs.move(run.run_id, Phase.FAILED, "RunFailed", "test", changes={"reasons": ["3 rows are odd"]})
    ledger.close()
    now = said(AppTest.from_file(APP, default_timeout=30).run())
    assert "1 run needs review" in now
    assert "3 rows are odd" in now
    page = open_page("runs")
    shown = page.dataframe[-1].value
    assert shown["run"].tolist() == [f"run?run={run.run_id}"]
    assert shown["branch"].tolist() == [run.branch]
    assert shown["phase"].tolist() == ["✗ failed"]
    assert shown["reason"].tolist() == ["3 rows are odd"]
    assert "1 failed" in page.caption[0].value

    page.selectbox[0].select("live").run()
    assert not page.exception
    assert "No runs match" in said(page)


def test_runs_and_events_are_paged_and_filtered_by_the_address(ledger_url: str) -> None:
    ledger = Ledger(ledger_url)
    lo = datetime(2021, 1, 1, tzinfo=UTC)
    with ledger.write() as tx:
        for number in range(150):
            end = lo + timedelta(minutes=5 * (number + 1))
            after = end - timedelta(minutes=5) if number else None
            tx.windows.claim(
                CUSTOMERS, "dana", end - timedelta(minutes=5), end, after=after, actor=f"actor-{number % 2}"
            )
    ledger.close()
    page = open_page("runs", ingestor="dana")
    first = page.dataframe[-1].value["run"].tolist()
    press(page, "Older")
    second = page.dataframe[-1].value["run"].tolist()
    assert (len(first), len(second), len({*first, *second})) == (50, 50, 100)
    press(page, "Older")
    assert "Older" not in [each.label for each in page.button]
    press(page, "Newest")
    assert page.dataframe[-1].value["run"].tolist() == first
    assert "No runs match" in said(open_page("runs", ingestor="nobody"))
    assert "there is no phase lost" in said(open_page("runs", phase="lost"))

    activity = open_page("activity", who="actor-1")
    assert set(activity.dataframe[0].value["actor"]) == {"actor-1"}
    assert len(activity.dataframe[0].value) == 75
    assert "No matching events." in said(open_page("activity", event="RunRejected"))
