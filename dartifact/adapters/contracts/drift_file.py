"""Reads `checks/<dataset>.drift.yml`: what is declared about drift, strictly; what is left out keeps its default."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from dartifact.adapters.contracts.faults import Fault, refused
from dartifact.domain.drift_rules import (
    COLUMN_RULES,
    HISTORY,
    LEAST_ROWS,
    LEAST_RUNS,
    TABLE_RULES,
    DriftRules,
    Level,
    Rule,
)
from dartifact.domain.errors import UsageError

_TOP = ("history", "least_runs", "least_rows", "batch", "columns")
_KEYS = ("level", "least")


def drift_path(checks: Path, dataset: str) -> Path:
    """Name the file that declares the drift of a dataset."""
    return checks / f"{dataset}.drift.yml"


def load_drift_rules(path: Path, columns: Collection[str] | None) -> DriftRules:
    """Read the rules of a dataset with these columns; the defaults where there is no file.

    FileRefused names the file and all of its faults; without `columns` their names are not asked about.
    """
    import yaml  # noqa: PLC0415

    if not path.exists():
        return DriftRules()
    try:
        given = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"{path}: cannot be read: {' '.join(str(error).split())}") from error
    return parse_drift_rules({} if given is None else given, str(path), columns)


def drift_schema() -> dict[str, Any]:
    """Return the JSON Schema of such a file, for editors; that of `checks/drift.schema.json`."""

    def rules(known: Mapping[str, Rule]) -> dict[str, Any]:
        rules = {
            name: {
                "type": "object",
                "properties": {
                    # YAML reads `off` as false
                    "level": {"enum": [*(level.value for level in Level), False], "default": rule.level.value},
                    "least": {"type": "number", "minimum": 0, "default": rule.least},
                },
                "additionalProperties": False,
            }
            for name, rule in known.items()
        }
        return {"type": "object", "properties": rules, "additionalProperties": False}

    numbers = (("history", HISTORY), ("least_runs", LEAST_RUNS), ("least_rows", LEAST_ROWS))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "How a dataset may differ from its history",
        "type": "object",
        "properties": {
            **{name: {"type": "integer", "minimum": 1, "default": default} for name, default in numbers},
            "batch": rules(TABLE_RULES),
            "columns": {"type": "object", "additionalProperties": rules(COLUMN_RULES)},
        },
        "additionalProperties": False,
    }


def parse_drift_rules(given: Any, path: str, columns: Collection[str] | None) -> DriftRules:
    """Turn the plain values of such a file into rules; without `columns` their names are not asked about."""
    faults: list[Fault] = []
    top = _mapping(given, "the file", _TOP, faults)
    numbers = {
        name: _whole(top.get(name, default), name, default, faults)
        for name, default in (("history", HISTORY), ("least_runs", LEAST_RUNS), ("least_rows", LEAST_ROWS))
    }
    if numbers["least_runs"] > numbers["history"]:
        faults.append(Fault(f"least_runs is {numbers['least_runs']}, more than the history of {numbers['history']}"))
    table = _rules(top.get("batch", {}), "batch", TABLE_RULES, faults)
    named = _mapping(top.get("columns", {}), "columns", None if columns is None else tuple(columns), faults)
    rules = {name: _rules(given, f"columns.{name}", COLUMN_RULES, faults) for name, given in named.items()}
    if faults:
        raise refused(path, faults)
    return DriftRules(**numbers, table=table, columns=rules)


def _rules(given: Any, where: str, known: Mapping[str, Rule], faults: list[Fault]) -> dict[str, Rule]:
    found = {}
    for name, given_rule in _mapping(given, where, tuple(known), faults).items():
        rule = _mapping(given_rule, f"{where}.{name}", _KEYS, faults)
        level, least = rule.get("level", known[name].level), rule.get("least", known[name].least)
        level = "off" if level is False else level  # YAML reads off as a truth value
        if level not in list(Level):
            faults.append(Fault(f"{where}.{name}.level is {level!r}; it can be {', '.join(Level)}"))
        elif isinstance(least, bool) or not isinstance(least, int | float) or not 0 <= least < float("inf"):
            faults.append(Fault(f"{where}.{name}.least is {least!r}; it has to be a number of at least 0"))
        else:
            found[name] = Rule(Level(level), float(least))
    return found


def _mapping(given: Any, where: str, known: tuple[str, ...] | None, faults: list[Fault]) -> dict[str, Any]:
    """Return what is known of a mapping; None for `known` knows every name."""
    if not isinstance(given, dict):
        example = known[0] if known else "column"
        faults.append(Fault(f"{where} has to hold names with values, like `{example}: …`"))
        return {}
    if known is None:
        return given
    for key in (each for each in given if each not in known):
        near = get_close_matches(str(key), known, 1)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
        faults.append(Fault(f"{where} does not know {key!r}", hint))
    return {key: value for key, value in given.items() if key in known}


def _whole(given: object, name: str, default: int, faults: list[Fault]) -> int:
    if isinstance(given, int) and not isinstance(given, bool) and given >= 1:
        return given
    faults.append(Fault(f"{name} is {given!r}; it has to be a whole number of at least 1"))
    return default
