"""A home and a project that an earlier version wrote go on with this one."""

from __future__ import annotations

import json
import sqlite3
import tarfile
from pathlib import Path

import pytest

from dartifact.adapters.ledger.tables import VERSION
from tests.conftest import Call
from tests.support.heights import measure, serving_heights

HOMES = sorted((Path(__file__).parent / "homes").glob("*.tar.xz"))


@pytest.fixture(params=HOMES, ids=lambda path: path.name.removesuffix(".tar.xz"))
def project(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Unpack a project with its home, and stand in it."""
    with tarfile.open(request.param) as tar:
        tar.extractall(tmp_path, filter="data")
    project = tmp_path / "weather"
    monkeypatch.chdir(project)
    return project


def test_an_older_home_goes_on_with_new_data(project: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    with sqlite3.connect(project / ".dartifact" / "ledger.db") as ledger:
        [[before]] = ledger.execute("SELECT version FROM schema_version")
    ledger.close()
    code, said, why = call("status", "-o", "json")
    assert code == 0, why
    status = json.loads(said)
    live, commit = status["production"]["live"], json.loads(call("resolve", "-o", "json")[1])["commit"]
    assert (status["main"]["tested"], status["gaps"], status["stopped"]) == (True, [], [])
    assert live
    assert commit

    with serving_heights(days=4) as url:
        monkeypatch.setenv("DARTIFACT_SOURCE_URLS", json.dumps({"production": url}))
        code, said, why = call("ingest", "production", "-o", "json")
    assert code == 0, why
    assert [(run["phase"], run["number"]) for run in json.loads(said)] == [("queued", 101)]
    for verb in ("integrate", "stage", "promote"):
        code, said, why = call(verb)
        assert code == 0, f"{verb}: {said}{why}"
    assert json.loads(call("resolve", "-o", "json")[1])["commit"] != commit
    code, said, why = call("rollback", "--reason", "back to what the older version promoted", "-o", "json")
    assert code == 0, why
    rolled_back = json.loads(said)
    assert rolled_back["returns"] == live
    assert json.loads(call("resolve", "-o", "json")[1])["commit"] == commit
    with sqlite3.connect(project / ".dartifact" / "ledger.db") as ledger:
        [[after]] = ledger.execute("SELECT version FROM schema_version")
    ledger.close()
    assert before <= after == VERSION


def test_a_newer_ledger_is_refused_and_left_as_it_is(project: Path, call: Call) -> None:
    with sqlite3.connect(project / ".dartifact" / "ledger.db") as ledger:
        ledger.execute("UPDATE schema_version SET version = 999")
    ledger.close()
    for verb in (["status"], ["integrate"], ["resolve"]):
        code, _, why = call(*verb)
        assert code != 0
        assert "use the dartifact version that wrote it" in why
    with sqlite3.connect(project / ".dartifact" / "ledger.db") as ledger:
        assert ledger.execute("SELECT version FROM schema_version").fetchall() == [(999,)]
    ledger.close()


def test_two_environments_of_one_project_stand_side_by_side(
    project: Path, call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first = json.loads(call("status", "-o", "json")[1])["production"]["live"]
    with monkeypatch.context() as other, serving_heights(days=2) as url:
        other.setenv("DARTIFACT_REPOSITORY", "weather-test")
        other.setenv("DARTIFACT_LEDGER_URL", f"sqlite:///{tmp_path / 'test.db'}")
        other.setenv("DARTIFACT_SOURCE_URLS", json.dumps({"production": url}))
        assert json.loads(call("status", "-o", "json")[1])["production"]["live"] is None
        for verb in (["ingest", "production"], ["integrate"]):
            code, said, why = call(*verb)
            assert code == 0, f"{said}{why}"
        merged = json.loads(call("runs", "-o", "json")[1])
        assert [(run["phase"], run["rows"]) for run in merged] == [("merged", len(measure(2)))]
    status = json.loads(call("status", "-o", "json")[1])
    assert (status["production"]["live"], status["main"]["tested"]) == (first, True)
    assert [(run["phase"], run["rows"]) for run in json.loads(call("runs", "-o", "json")[1])] == [("live", 9)]
