"""Reads `checks/<dataset>.drift.yml`: what is declared about drift, strictly; what is left out keeps its default."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

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


def load_drift_rules(path: Path, columns: Collection[str]) -> DriftRules:
    """Read the rules of a dataset with these columns; the defaults where there is no file.

    UsageError names file, key and the nearest known key.
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


def parse_drift_rules(given: Any, path: str, columns: Collection[str]) -> DriftRules:
    """Turn the plain values of such a file into rules."""
    top = _mapping(given, path, "the file", _TOP)
    numbers = {
        name: _whole(top.get(name, default), path, name)
        for name, default in (("history", HISTORY), ("least_runs", LEAST_RUNS), ("least_rows", LEAST_ROWS))
    }
    if numbers["least_runs"] > numbers["history"]:
        raise UsageError(
            f"{path}: least_runs is {numbers['least_runs']}, more than the history of {numbers['history']}"
        )
    table = _rules(top.get("batch", {}), path, "batch", TABLE_RULES)
    named = _mapping(top.get("columns", {}), path, "columns", tuple(columns))
    rules = {name: _rules(column_rules, path, f"columns.{name}", COLUMN_RULES) for name, column_rules in named.items()}
    return DriftRules(**numbers, table=table, columns=rules)


def _rules(given: Any, path: str, where: str, known: Mapping[str, Rule]) -> dict[str, Rule]:
    found = {}
    for name, given_rule in _mapping(given, path, where, tuple(known)).items():
        rule = _mapping(given_rule, path, f"{where}.{name}", _KEYS)
        level, least = rule.get("level", known[name].level), rule.get("least", known[name].least)
        level = "off" if level is False else level  # YAML reads off as a truth value
        if level not in list(Level):
            raise UsageError(f"{path}: {where}.{name}.level is {level!r}; it can be {', '.join(Level)}")
        if isinstance(least, bool) or not isinstance(least, int | float) or not 0 <= least < float("inf"):
            raise UsageError(f"{path}: {where}.{name}.least is {least!r}; it has to be a number of at least 0")
        found[name] = Rule(Level(level), float(least))
    return found


def _mapping(given: Any, path: str, where: str, known: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise UsageError(f"{path}: {where} has to hold names with values, like `{known[0]}: …`")
    for key in given:
        if key not in known:
            near = get_close_matches(str(key), known, 1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
            raise UsageError(f"{path}: {where} does not know {key!r}", hint=hint)
    return given


def _whole(given: object, path: str, name: str) -> int:
    if isinstance(given, int) and not isinstance(given, bool) and given >= 1:
        return given
    raise UsageError(f"{path}: {name} is {given!r}; it has to be a whole number of at least 1")
