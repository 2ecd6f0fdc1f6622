"""What the role of the person who looks may not see: values of personal columns, and of those that nobody knows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import streamlit as st

from dartifact.adapters.contracts.contracts import Contract, checks_of, load_contract
from dartifact.commands.diffs.cells import RowDiff
from dartifact.compare.diff.report import DiffReport
from dartifact.domain import marks
from dartifact.domain.errors import DartifactError
from dartifact.domain.marks import HIDDEN, Reveal
from dartifact.domain.people import hide_unmarked
from dartifact.domain.sources import SYSTEM_COLUMNS, list_personal
from dartifact.settings import read_settings
from ui.people import who
from ui.stack import read_sources

_OURS = frozenset({*SYSTEM_COLUMNS, "_row"})
# What these measure are rows; what others measure, of a column or by an expression, may be a value.
_COUNTS = frozenset(
    {"missing", "invalid", "duplicate", "row_count", "failed_rows", "schema", "drift", "key", "reference", "order"}
)


@dataclass(frozen=True, slots=True)
class Mask:
    """Which columns of a table are shown; `shown` is None where all of them are."""

    shown: frozenset[str] | None = None

    def hides(self, column: str) -> bool:
        """Say whether the values of a column are hidden."""
        return self.shown is not None and column not in self.shown

    def hidden(self, columns: Iterable[str]) -> frozenset[str]:
        """Name those of these columns whose values are hidden."""
        return frozenset(column for column in columns if self.hides(column))

    def shows_figures_of(self, dataset: str, check: str, column: str | None) -> bool:
        """Say whether what a check has measured, and its limit, are shown: they may be values themselves."""
        if self.shown is None or (column is not None and column in self.shown):
            return True
        kind = check.removeprefix(f"{dataset}.").removeprefix(f"{column}.").partition(".")[0]
        return kind in _COUNTS and not (kind == "drift" and column is not None)


EVERYTHING = Mask()
NOTHING = Mask(frozenset())


def sees_personal() -> bool:
    """Say whether the person who looks sees personal columns; nobody does whom nobody knows."""
    try:
        return who().sees_personal
    except DartifactError:
        return False


def mask_dataset(dataset: str) -> Mask:
    """Return what is shown of a dataset: where it has personal columns, only what its contract knows and are none."""
    if sees_personal():
        return EVERYTHING
    personal = _list_personal()
    if personal is None:
        return NOTHING
    own = {column.casefold() for owner, column in personal if owner == dataset}
    if not own and dataset in read_sources():
        return EVERYTHING
    return Mask(
        _OURS | {name for name in _name_columns(_read_contract(f"{dataset}.yml")) if name.casefold() not in own}
    )


def mask_mart(mart: str) -> Mask:
    """Return what is shown of a mart: once a source has personal columns, only what the mart's contract knows.

    Not what the contract calls personal on one of the column's checks (`attributes: {personal: true}`), and no column
    that is called like a personal one of a source.
    """
    if sees_personal():
        return EVERYTHING
    personal = _list_personal()
    if personal is None:
        return NOTHING
    if not personal:
        return EVERYTHING
    contract = _read_contract(f"marts/{mart}.yml")
    checks = checks_of(contract) if contract else ()
    declared = {each.column for each in checks if each.body.get("attributes", {}).get("personal")}
    alike = {column.casefold() for _, column in personal}
    names = _name_columns(contract)
    return Mask(frozenset(name for name in names if name not in declared and name.casefold() not in alike))


def hider(dataset: str = "") -> Reveal:
    """Return what makes a sentence about a dataset, or about any, readable for the person who looks.

    Who may not see personal columns sees no value of a dataset that has any.
    """
    if sees_personal():
        return marks.show_values
    hidden = _list_personal()
    if hidden is None:
        return marks.hide_values
    if not any(dataset in ("", owner) for owner, _ in hidden):
        return marks.show_values
    return lambda sentence: marks.hide_values(hide_unmarked(sentence, hidden))


def reveal(sentence: str) -> str:
    """Return a sentence about whatever it is, readable for the person who looks."""
    return hider()(sentence)


def name_checks(dataset: str, checks: Sequence[str]) -> dict[str, str]:
    """Return check → its name for the person who looks: some end with the value they are about; all names differ."""
    if mask_dataset(dataset).shown is None:
        return {check: check for check in checks}
    names: dict[str, str] = {}
    for check in dict.fromkeys(checks):
        shown = marks.hide_in_check(check)
        taken = sum(marks.hide_in_check(other) == shown for other in names)
        names[check] = f"{shown} ({taken + 1})" if taken else shown
    return names


def mask_report(report: DiffReport, mask: Mask) -> DiffReport:
    """Return the report of a diff without hidden values: examples, figures of columns, keys."""
    if mask.shown is None:
        return report
    is_key_hidden = bool(mask.hidden(report.key))
    columns = []
    for column in report.columns:
        is_hidden = mask.hides(column.name)
        examples = [
            replace(
                each,
                key=HIDDEN if is_key_hidden else each.key,
                base=HIDDEN if is_hidden else each.base,
                candidate=HIDDEN if is_hidden else each.candidate,
            )
            for each in column.examples
        ]
        columns.append(replace(column, shift=None if is_hidden else column.shift, examples=tuple(examples)))
    three = report.three_way
    if three and is_key_hidden:
        three = replace(three, both_examples=())
    return replace(report, columns=tuple(columns), three_way=three)


def mask_rows(rows: Sequence[RowDiff], key: Sequence[str], mask: Mask) -> tuple[RowDiff, ...]:
    """Return differing rows without hidden values; `key` names the columns of their key."""
    is_key_hidden = bool(mask.hidden(key))
    return tuple(
        replace(
            row,
            key=HIDDEN if is_key_hidden else row.key,
            cells={name: (HIDDEN, HIDDEN) if mask.hides(name) else cell for name, cell in row.cells.items()},
        )
        for row in rows
    )


def _list_personal() -> tuple[tuple[str, str], ...] | None:
    """Return the personal columns of the sources, None where they cannot be known."""
    try:
        return list_personal(read_sources().values())
    except DartifactError:
        return None


def _name_columns(contract: Contract | None) -> frozenset[str]:
    return frozenset(name for name, _ in contract.columns) if contract else frozenset()


def _read_contract(name: str) -> Contract | None:
    return _load(read_settings().project / "checks" / name)


@st.cache_resource(show_spinner=False, max_entries=200)
def _load(path: Path) -> Contract | None:
    try:
        return load_contract(path)
    except DartifactError:
        return None
