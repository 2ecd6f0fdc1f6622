"""Self-tests of the checks as documents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from dartifact.compare.mutations.self_test import SelfTest, Trial


class TrialDocument(TypedDict):
    """What became of one mutation of a batch."""

    name: str
    words: str
    columns: list[str] | None
    stopped_by: str | None
    check: str | None
    message: str | None
    smallest_dose: float | None


class FaultDocument(TrialDocument):
    """A fault in a batch of a dataset."""

    dataset: str


class SelfTestDocument(TypedDict):
    """What the checks of one dataset stop."""

    dataset: str
    batch: str
    rows: int
    catch_rate: float
    false_alarms: int
    faults: list[TrialDocument]
    harmless: list[TrialDocument]
    notes: list[str]


class SelfTestsDocument(TypedDict):
    """What the checks of all datasets stop."""

    catch_rate: float
    false_alarms: int
    faults: list[FaultDocument]
    datasets: list[SelfTestDocument]


def describe_self_test(test: SelfTest) -> SelfTestDocument:
    """Return the self-test of one dataset as a document."""
    return {
        "dataset": test.dataset,
        "batch": test.batch,
        "rows": test.rows,
        "catch_rate": round(test.catch_rate, 4),
        "false_alarms": test.false_alarms,
        "faults": [_describe_trial(trial) for trial in test.faults],
        "harmless": [_describe_trial(trial) for trial in test.harmless],
        "notes": list(test.notes),
    }


def _describe_trial(trial: Trial) -> TrialDocument:
    return {
        "name": trial.name,
        "words": trial.words,
        "columns": list(trial.columns) if trial.columns is not None else None,
        "stopped_by": trial.stopped_by,
        "check": trial.check,
        "message": trial.message,
        "smallest_dose": trial.smallest_dose,
    }


def describe_self_tests(tests: Sequence[SelfTest]) -> SelfTestsDocument:
    """Return the self-tests of all datasets as one document."""
    fitting, slipped = sum(len(test.fitting) for test in tests), sum(len(test.slipped) for test in tests)
    return {
        "catch_rate": round(1 - slipped / max(fitting, 1), 4),
        "false_alarms": sum(test.false_alarms for test in tests),
        "faults": [{"dataset": test.dataset, **_describe_trial(fault)} for test in tests for fault in test.faults],
        "datasets": [describe_self_test(test) for test in tests],
    }
