"""The self-test of the checks as text: a table of faults, what is let pass, the false alarms."""

from __future__ import annotations

from collections.abc import Sequence

from dartifact.cli.text.lines import indent
from dartifact.cli.text.tables import render_table
from dartifact.compare.mutations.self_test import SelfTest, Trial

_COLUMNS = ("fault", "column", "stopped by", "from a share of", "check")


def format_self_test(test: SelfTest) -> str:
    """Return the self-test of a dataset."""
    false_alarms = [trial for trial in test.harmless if trial.stopped_by is not None]
    unfitting = ", ".join(trial.name for trial in test.faults if trial.columns is None)
    lines = [
        *_format_summary(test),
        render_table(_COLUMNS, [_format_row(trial) for trial in test.fitting]),
        *_format_trials("let pass", test.slipped),
        *_format_trials("FALSE ALARM", false_alarms),
    ]
    return "\n".join(lines + ([f"fits no column here: {unfitting}"] if unfitting else []))


def _format_summary(test: SelfTest) -> list[str]:
    stopped = len(test.fitting) - len(test.slipped)
    alarms = f"{test.false_alarms} of {len(test.harmless)} harmless variations stopped"
    size = f"in {test.batch}, {test.rows:,} rows; a fault counts as stopped when it is in one row of ten"
    return [
        f"{test.dataset}: {stopped} of {len(test.fitting)} faults stopped ({test.catch_rate:.0%}), {alarms}",
        *indent([size, *test.notes]),
    ]


def _format_row(trial: Trial) -> tuple[str, ...]:
    dose = f"{trial.smallest_dose:.0%}" if trial.smallest_dose is not None else "never"
    return trial.name, ", ".join(trial.columns or ()), trial.stopped_by or "-", dose, trial.check or ""


def _format_trials(title: str, trials: Sequence[Trial]) -> list[str]:
    return [
        f"{title}: {trial.name} ({trial.words})" + (f": {trial.message}" if trial.message else "") for trial in trials
    ]
