"""`checks/<dataset>.drift.yml`: read strictly, with the nearest known name for a typo."""

from __future__ import annotations

from pathlib import Path

import pytest

from dartifact.adapters.contracts.contracts import load_contract
from dartifact.adapters.contracts.drift_file import load_drift_rules
from dartifact.adapters.contracts.faults import FileRefused
from dartifact.domain.drift_rules import COLUMN_RULES, DriftRules, Level
from dartifact.domain.errors import UsageError
from tests.conftest import PROJECT


def write(folder: Path, text: str) -> DriftRules:
    path = folder / "orders.drift.yml"
    path.write_text(text)
    return load_drift_rules(path, ["amount", "status"])


def test_without_a_file_everything_is_as_by_default(tmp_path: Path) -> None:
    assert load_drift_rules(tmp_path / "orders.drift.yml", ["amount"]) == DriftRules()
    assert write(tmp_path, "") == DriftRules()


def test_what_is_left_out_of_a_rule_keeps_its_default(tmp_path: Path) -> None:
    rules = write(tmp_path, "history: 10\ncolumns: {amount: {nulls: {level: off}, median: {least: 1}}}")
    assert rules.history == 10
    assert rules.of_column("amount", "nulls").level is Level.OFF
    assert rules.of_column("amount", "nulls").least == COLUMN_RULES["nulls"].least
    assert (rules.of_column("amount", "median").level, rules.of_column("amount", "median").least) == (Level.FAIL, 1.0)
    assert rules.of_column("status", "nulls") == COLUMN_RULES["nulls"]


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("histroy: 3", "the file does not know 'histroy'", "did you mean history?"),
        ("columns: {amuont: {}}", "columns does not know 'amuont'", "did you mean amount?"),
        ("columns: {amount: {nuls: {}}}", "columns.amount does not know 'nuls'", "did you mean nulls?"),
        ("batch: {volume: {levle: fail}}", "batch.volume does not know 'levle'", "did you mean level?"),
        ("batch: {volume: {level: stop}}", "batch.volume.level is 'stop'; it can be fail, warn, off", None),
        ("batch: {volume: {least: -1}}", "batch.volume.least is -1; it has to be a number of at least 0", None),
        ("history: 0", "history is 0; it has to be a whole number of at least 1", None),
        ("history: 3", "least_runs is 5, more than the history of 3", None),
        ("- history", "the file has to hold names with values", None),
        ("{", "cannot be read", None),
    ],
)
def test_a_file_that_would_not_be_honoured_is_refused(
    tmp_path: Path, text: str, message: str, hint: str | None
) -> None:
    with pytest.raises(UsageError) as caught:
        write(tmp_path, text)
    assert message in caught.value.message
    assert str(tmp_path) in caught.value.message
    assert hint is None or str(caught.value.hint) == hint


@pytest.mark.parametrize("path", sorted((PROJECT / "checks").glob("*.drift.yml")), ids=lambda path: path.name)
def test_committed_files_are_honoured(path: Path) -> None:
    contract = load_contract(path.with_name(path.name.replace(".drift", "")))
    assert load_drift_rules(path, [name for name, _ in contract.columns]).columns


def test_all_faults_of_a_file_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(FileRefused) as caught:
        write(
            tmp_path,
            "histroy: 3\nleast_rows: 0\nbatch: {volume: {level: stop}}\ncolumns: {amuont: {}, status: {nuls: {}}}",
        )
    assert [fault.text.split(" ")[0] for fault in caught.value.faults] == [
        "the",
        "least_rows",
        "batch.volume.level",
        "columns",
        "columns.status",
    ]
