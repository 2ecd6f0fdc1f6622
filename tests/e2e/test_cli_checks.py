"""`dartifact checks`: files that would not be honoured are named offline, and the self-test answers as documented."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from dartifact.adapters.contracts.drift_file import drift_schema
from dartifact.compare.mutations import self_test as trials
from tests.conftest import PROJECT, Call
from tests.support.sources import customer
from tests.support.world import World


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of the checks, without lake, ledger or network."""
    shutil.copytree(PROJECT / "checks", tmp_path / "checks")
    monkeypatch.setenv("DARTIFACT_PROJECT", str(tmp_path))
    monkeypatch.setenv("DARTIFACT_LAKE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("DARTIFACT_LEDGER_URL", "sqlite:////nowhere/ledger.db")
    return tmp_path


def test_the_committed_checks_are_valid(project: Path, call: Call) -> None:
    code, out, _ = call("checks", "validate")
    assert code == 0, out
    assert "ok   checks/orders.yml: a contract of 7 columns" in out
    assert "ok   checks/orders.drift.yml: drift rules" in out


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("orders.yml", "valid_values", "valid_value", "did you mean 'valid_values'?"),
        ("orders.yml", "data_type: bigint", "data_type: biginteger", "unknown type 'biginteger'"),
        ("orders.drift.yml", "new_values", "new_value", "does not know 'new_value'"),
        ("orders.drift.yml", "  currency:", "  curency:", "does not know 'curency'"),
        ("marts/customer_statistics.yml", "dataset:", "datasett:", "'datasett'"),
    ],
)
def test_every_file_that_would_not_be_honoured_is_named(
    project: Path, call: Call, file: str, old: str, new: str, said: str
) -> None:
    path = project / "checks" / file
    path.write_text(path.read_text().replace(old, new, 1))
    (project / "checks" / "late.yaml").write_text("dataset: lake/main/late\n")
    code, out, _ = call("checks", "validate", "-o", "json")
    bad = {each["file"]: each["found"] for each in json.loads(out) if not each["ok"]}
    assert code == 1
    assert f"checks/{file}" in bad
    assert said in bad[f"checks/{file}"] + next(e["hint"] for e in json.loads(out) if e["file"] == f"checks/{file}")
    assert "is never read" in bad["checks/late.yaml"]


def test_the_schema_of_drift_files_is_that_of_the_rules() -> None:
    committed = json.loads((PROJECT / "checks" / "drift.schema.json").read_text())
    assert committed == drift_schema()
    valid = Draft202012Validator(committed).is_valid
    assert valid({"history": 10, "batch": {"volume": {"level": "warn"}}, "columns": {"a": {"nulls": {"least": 0.1}}}})
    assert valid({"columns": {"a": {"nulls": {"level": False}}}})
    assert not valid({"histori": 10})
    assert not valid({"columns": {"a": {"nuls": {}}}})
    assert not valid({"columns": {"a": {"nulls": {"level": "stop"}}}})
    assert not valid({"batch": {"volume": {"least": -1}}})


def test_a_self_test_is_one_document(named_world: World, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trials, "FAULTS", trials.FAULTS[:2])
    monkeypatch.setattr(trials, "HARMLESS", trials.HARMLESS[:1])
    named_world.land("customers", *(customer(n) for n in range(20)))
    code, out, said = call("checks", "self-test", "customers", "-o", "json", "--seed", "1")
    assert code == 0, said
    document = json.loads(out)
    assert 0 <= document["catch_rate"] <= 1
    assert document["false_alarms"] == 0
    assert {"name", "stopped_by", "smallest_dose"} <= document["faults"][0].keys()
    assert "null_keys: local" in said
    code, out, _ = call("checks", "self-test", "customers")
    assert "drift may not be asked" in out
    assert "null_keys" in out
    code, _, said = call("checks", "self-test", "nothing")
    assert (code, "there is no dataset nothing; there are customers, orders" in said) == (1, True)
