"""Data contracts: what a dataset promises, read strictly.

Soda takes unknown keys, half-written thresholds and two checks in one item, and then passes. A contract that says
anything which would not be honoured is refused here, with all of its faults by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dartifact.adapters.contracts.faults import Fault, refused
from dartifact.adapters.contracts.rules import find_check_faults, find_filter_faults
from dartifact.adapters.contracts.syntax import Steps, advise, find_syntax_faults, name_place, read_yaml
from dartifact.adapters.contracts.type_names import suggest_type
from dartifact.adapters.tables.column_types import KNOWN_TYPES, normalise_type
from dartifact.domain.checks import CheckPolicy
from dartifact.domain.column_names import find_name_fault, find_twins
from dartifact.domain.errors import UsageError

DATA_SOURCE = "lake"
SCHEMA = "main"


@dataclass(frozen=True, slots=True)
class Contract:
    """A contract that was read and found to be fit: every key known, every column typed, at least one check."""

    dataset: str
    text: str
    columns: tuple[tuple[str, str], ...]
    path: Path


@dataclass(frozen=True, slots=True)
class Check:
    """One check of a contract; `id` is stable as long as the check keeps its column, kind and name or qualifier."""

    id: str
    kind: str
    column: str | None
    body: Mapping[str, Any]

    @property
    def policy(self) -> CheckPolicy:
        """Return what its attribute `policy` says, `absolute` without one."""
        return CheckPolicy(self.body.get("attributes", {}).get("policy", CheckPolicy.ABSOLUTE))

    def mentions(self, column: str) -> bool:
        """Tell whether the check reads the column; text that merely looks like the name counts."""
        if column == self.column or column == self.body.get("column") or column in self.body.get("columns", ()):
            return True
        texts = (self.body.get(key) for key in ("expression", "query", "keys_query", "rows_tested_query", "filter"))
        return any(has_word(text, column) for text in texts if text)


def has_word(text: str, word: str) -> bool:
    """Tell whether SQL text holds a name as a whole word, in whatever case."""
    return re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE) is not None


def load_contract(path: Path) -> Contract:
    """Read a contract file; FileRefused names the file and all of its faults, with the nearest known words."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: the contract cannot be read: {error}") from error
    return parse_contract(text, path)


def parse_contract(text: str, path: Path) -> Contract:
    """Read a contract's text; the path's stem is the dataset it has to be about."""
    try:
        document, spelled = read_yaml(text)
    except UsageError as error:
        raise refused(path, [Fault(error.message)]) from error
    syntax = (*spelled, *find_syntax_faults(document))
    faults = [fault.text for fault in syntax]
    wrong = [fault.steps for fault in syntax if fault.steps]
    faults += _find_faults(document, path.stem, wrong)
    if faults:
        raise refused(path, [Fault(fault) for fault in faults])
    columns = tuple((column["name"], normalise_type(str(column["data_type"])) or "") for column in document["columns"])
    return Contract(path.stem, text, columns, path)


def checks_of(contract: Contract) -> tuple[Check, ...]:
    """Return the checks in the order they stand in the contract."""
    document, _ = read_yaml(contract.text)
    return tuple(check for _, check in _checks(document, contract.dataset))


def key_of(contract: Contract) -> tuple[str, ...]:
    """Return the columns that the contract says are unique together, in its first `duplicate` check; none without."""
    for check in checks_of(contract):
        if check.kind == "duplicate":
            return (check.column,) if check.column else tuple(check.body.get("columns", ()))
    return ()


def filter_of(contract: Contract) -> str | None:
    """Return the SQL condition of the rows the contract is about, None for all rows."""
    text = read_yaml(contract.text)[0].get("filter")
    return str(text) if text else None


def _find_faults(document: dict[str, Any], dataset: str, wrong: list[Steps]) -> Iterator[str]:
    """Find what the schema does not ask; what stands at a `wrong` place is left alone, its fault has been told."""
    expected = f"{DATA_SOURCE}/{SCHEMA}/{dataset}"
    if document.get("dataset", expected) != expected:
        yield f"dataset: {document['dataset']!r} has to be {expected!r}, after the file's name"
    if document.get("columns") == []:
        yield "columns: name at least one"
    columns = list(_each(document.get("columns")))
    types: dict[str, str] = {}
    yield from _find_column_faults(columns, types)
    items = list(_items(document))
    if not items and not wrong:
        yield "the contract checks nothing: give it at least one check"
    for steps, _, item in items:
        if len(item) != 1 and not _is_in(steps, wrong):
            place = name_place(document, steps[:2]) if steps[0] == "columns" else "checks"
            keys = ", ".join(map(str, item)) or "none"
            yield f"{place}: exactly one check per list item is needed, found: {keys}"
    seen: set[str] = set()
    for steps, check in _checks(document, dataset):
        if _is_in(steps, wrong):
            continue
        for fault in find_check_faults(check.kind, check.column, check.body, types):
            yield f"{check.id}{fault}"
        named = (*check.body.get("columns", ()), *([check.body["column"]] if "column" in check.body else []))
        known = [column.get("name") for _, column in columns]
        yield from (f"{check.id}: the contract has no column {name!r}" for name in named if name not in known)
        if document.get("filter"):
            for fault in find_filter_faults(check.kind, check.body):
                yield f"{check.id}{fault}"
        if check.id in seen:
            yield f"{check.id}: two checks have this name: give one a `qualifier`"
        seen.add(check.id)


def _find_column_faults(columns: list[tuple[int, dict[str, Any]]], types: dict[str, str]) -> Iterator[str]:
    """Find columns that cannot be kept; fill in the types of the others."""
    names = [column["name"] for _, column in columns if isinstance(column.get("name"), str)]
    twins, seen = find_twins(names), set[str]()
    for _, column in columns:
        name, text = column.get("name"), column.get("data_type")
        if not isinstance(name, str):
            continue
        place = f"columns.{name if name.strip() and name.isprintable() else repr(name)}"
        if fault := find_name_fault(name):
            yield f"{place}: this name {fault}"
        if name in twins or name in seen:
            yield f"{place}: two columns have this name{f', as {twins[name]}' if name in twins else ''}"
        seen.add(name)
        data_type = normalise_type(str(text)) if text else None
        if data_type:
            types[name] = data_type
        else:
            likely = suggest_type(str(text)) if text else ""
            advice = f"did you mean {likely!r}?" if likely else advise(str(text), KNOWN_TYPES)
            yield f"{place}.data_type: {f'unknown type {text!r}' if text else 'missing'}: {advice}"


def _items(document: dict[str, Any]) -> Iterator[tuple[Steps, str | None, dict[str, Any]]]:
    """Yield the list items that are to be checks, each with the way there and its column."""
    for position, column in _each(document.get("columns")):
        for number, item in _each(column.get("checks")):
            yield ("columns", position, "checks", number), str(column.get("name")), item
    for number, item in _each(document.get("checks")):
        yield ("checks", number), None, item


def _each(items: object) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the mappings of what is to be a list of mappings, with their positions."""
    if isinstance(items, list):
        yield from ((position, item) for position, item in enumerate(items) if isinstance(item, dict))


def _is_in(steps: Steps, wrong: list[Steps]) -> bool:
    return any(at[: len(steps)] == steps for at in wrong)


def _checks(document: dict[str, Any], dataset: str) -> Iterator[tuple[Steps, Check]]:
    for steps, column, item in _items(document):
        for kind, body in item.items():
            if body is None or isinstance(body, dict):
                suffix = _suffix(kind, column, body or {})
                parts = [dataset, column, kind, suffix]
                yield steps, Check(".".join(part for part in parts if part), kind, column, body or {})


def _suffix(kind: str, column: str | None, body: Mapping[str, Any]) -> str:
    """Return what tells a check from others of its kind on the same column, empty where nothing does."""
    name = body.get("qualifier")
    if not name and kind in ("failed_rows", "metric"):
        name = body.get("name")
    if not name and kind == "duplicate" and column is None:
        name = "_".join(map(str, body.get("columns", ())))
    if not name and kind in ("aggregate", "freshness"):
        name = body.get("function") or body.get("column")
    return re.sub(r"[^a-z0-9]+", "_", str(name or "").lower()).strip("_")
