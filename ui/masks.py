"""What the role of the person who looks may not see: the values of personal columns."""

from __future__ import annotations

from dartifact.compare.diff.report import DiffReport
from dartifact.domain import marks
from dartifact.domain.marks import Reveal
from dartifact.domain.people import hide_unmarked
from dartifact.domain.sources import list_personal
from ui.people import who
from ui.stack import read_sources


def hidden_columns(dataset: str = "") -> frozenset[str]:
    """Name the personal columns, of one dataset or of all, that the person who looks may not see."""
    return frozenset(column for owner, column in _list_hidden() if dataset in ("", owner))


def hider(dataset: str = "") -> Reveal:
    """Return what makes a sentence about a dataset, or about any, readable for the person who looks.

    Who may not see personal columns sees no value of a dataset that has any.
    """
    hidden = _list_hidden()
    if not any(dataset in ("", owner) for owner, _ in hidden):
        return marks.show_values
    return lambda sentence: marks.hide_values(hide_unmarked(sentence, hidden))


def name_check(dataset: str, check: str) -> str:
    """Return the name of a check of a dataset for the person who looks: some end with the value they are about."""
    shown = marks.hide_in_check(check) if hidden_columns(dataset) else check
    return shown.removeprefix(f"{dataset}.")


def _list_hidden() -> tuple[tuple[str, str], ...]:
    if who().sees_personal:
        return ()
    return list_personal(read_sources().values())


def hide_examples(report: DiffReport) -> frozenset[str]:
    """Name the columns of a diff whose values are not shown to the person who looks."""
    return hidden_columns(report.table if report.table in read_sources() else "")
