"""The page Now, on a real ledger and without a lake: what it says of `main` after each event that is about it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import streamlit as st

from dartifact.adapters.lakefs.values import Commit
from dartifact.adapters.ledger.ledger import Ledger
from dartifact.domain.checks import judge
from dartifact.domain.events import EventType
from tests.support.world import green
from tests.ui.pages import open_page, said

GOOD, BAD = (Commit(name * 64, f"content {name}", ("before",), "", 0, {}) for name in "ab")


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ledger]:
    """Give the UI a ledger of its own, in which the content of GOOD has passed the integration gate."""
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    monkeypatch.setenv("DARTIFACT_LEDGER_URL", url)
    st.cache_resource.clear()
    ledger = Ledger(url)
    report = green(GOOD)
    with ledger.write() as tx:
        tx.reports.save(report, judge(report.results))
    yield ledger
    ledger.close()


def note(ledger: Ledger, type: EventType, commit: Commit) -> None:
    with ledger.write() as tx:
        tx.append(type, "test", commit=commit.commit_id, meta_range=commit.meta_range)


@pytest.mark.parametrize("event", [EventType.MAIN_ADVANCED, EventType.MAIN_ADOPTED])
def test_main_is_tested_after_what_was_tested_came_in(ledger: Ledger, event: EventType) -> None:
    note(ledger, EventType.MAIN_UNTESTED, BAD)
    note(ledger, event, GOOD)
    shown = said(open_page("now"))
    assert "# :green[tested]" in shown
    assert "last change" in shown


@pytest.mark.parametrize(
    ("event", "why"),
    [
        (EventType.MAIN_UNTESTED, "mixes a candidate with a merge by hand"),
        (EventType.MAIN_FOUND_UNTESTED, "was made by hand"),
    ],
)
def test_main_is_not_tested_after_a_merge_by_hand_and_the_page_says_why(
    ledger: Ledger, event: EventType, why: str
) -> None:
    note(ledger, EventType.MAIN_ADVANCED, GOOD)
    note(ledger, event, BAD)
    with ledger.write() as tx:  # the repair has begun; it is not in yet
        tx.append(EventType.MAIN_REPAIRED, "test", refused=BAD.commit_id, tested=GOOD.commit_id, reasons=["odd"])
    shown = said(open_page("now"))
    assert "# :red[not tested]" in shown
    assert f"commit {'b' * 12} {why}" in shown


def test_main_without_an_event_holds_no_rows(ledger: Ledger) -> None:
    assert "# :gray[no rows yet]" in said(open_page("now"))
