"""The verbs about windows and stops that need the ledger alone, in this process."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dartifact.adapters.ledger.ledger import Ledger
from dartifact.domain.errors import UsageError
from dartifact.domain.runs import Phase
from dartifact.domain.times import read_time
from tests.conftest import Call
from tests.support.sources import CUSTOMERS


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ledger]:
    """Run the command line on a home and a ledger of its own."""
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    monkeypatch.setenv("DARTIFACT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DARTIFACT_LEDGER_URL", url)
    with closing(Ledger(url)) as ledger:
        ledger.bind()
        yield ledger


def test_everything_is_paused_and_resumed_once(call: Call, ledger: Ledger) -> None:
    assert call("resume", "--all")[2] == "pipeline was not paused\n"
    assert call("pause", "--all", "--reason", "look at the prices")[0] == 0
    (stop,) = ledger.stops()
    assert stop.reason == "look at the prices"
    assert call("resume", "--all")[2] == "pipeline resumed\n"
    assert ledger.stops() == ()


def test_an_ingestor_is_paused_and_resumed_and_has_to_exist(call: Call, ledger: Ledger) -> None:
    assert call("pause", "dan", "--reason", "their release")[0] == 0
    assert [stop.name for stop in ledger.stops()] == ["dan"]
    assert call("resume", "dan")[2] == "dan resumed\n"
    code, _, said = call("pause", "nobody", "--reason", "why")
    assert (code, "there is no ingestor nobody" in said) == (1, True)


@pytest.mark.parametrize("arguments", [("pause", "--reason", "why"), ("resume", "dan", "--all"), ("resume",)])
def test_either_an_ingestor_or_all_is_named(call: Call, ledger: Ledger, arguments: tuple[str, ...]) -> None:
    code, _, said = call(*arguments)
    assert (code, "needs either an ingestor or --all" in said) == (1, True)
    assert ledger.stops() == ()


def test_names_of_the_release_before_still_work_and_say_what_they_are_called_now(call: Call, ledger: Ledger) -> None:
    code, out, said = call("stop-the-line", "--reason", "look at the prices")
    assert (code, out) == (0, "")
    assert said.startswith("`dartifact stop-the-line` is called `dartifact pause --all` now\n")
    assert [stop.reason for stop in ledger.stops()] == ["look at the prices"]
    assert call("start-the-line")[2].endswith("pipeline resumed\n")
    assert ledger.stops() == ()
    code, _, said = call("leave-out", "nosuch", "--reason", "why")
    assert "`dartifact leave-out` is called `dartifact split` now" in said
    assert (code, "there is no run nosuch" in said) == (1, True)
    assert not {"stop-the-line", "start-the-line", "leave-out"} & set(call("--help")[1].split())


def test_a_gap_is_accepted_by_the_name_of_the_run_or_its_branch(call: Call, ledger: Ledger) -> None:
    lo, hi = datetime(2021, 1, 1, tzinfo=UTC), datetime(2021, 1, 1, 0, 5, tzinfo=UTC)
    with ledger.write() as tx:
        run = tx.windows.claim(CUSTOMERS, "dana", lo, hi, after=None, actor="test")
        tx.runs.move(run.run_id, Phase.HELD, "RunHeld", "test")
    code, out, _ = call("accept-gap", run.branch, "--reason", "nobody needs it", "-o", "json")
    assert (code, json.loads(out)["window"]["gap_reason"]) == (0, "nobody needs it")
    assert ledger.gaps() == ()
    code, _, said = call("accept-gap", run.run_id, "--reason", "again")
    assert (code, "has left no open gap" in said) == (1, True)


def test_times_are_iso_and_utc_unless_they_name_a_zone() -> None:
    assert read_time("2021-01-31") == datetime(2021, 1, 31, tzinfo=UTC)
    assert read_time("2021-01-31T12:00:00+02:00") == datetime(2021, 1, 31, 10, tzinfo=UTC)
    with pytest.raises(UsageError, match="neither a date nor a time"):
        read_time("yesterday")
