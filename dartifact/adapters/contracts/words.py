"""What checks say to people: thresholds as words, one sentence per answer."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from dartifact.adapters.contracts.contracts import Check
from dartifact.adapters.contracts.rules import COMPARISONS, RANGES
from dartifact.domain.checks import Outcome
from dartifact.domain.marks import mark

_WORDS: dict[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "must_be": ("", operator.eq),
    "must_not_be": ("not ", operator.ne),
    "must_be_greater_than": ("more than ", operator.gt),
    "must_be_greater_than_or_equal": ("at least ", operator.ge),
    "must_be_less_than": ("less than ", operator.lt),
    "must_be_less_than_or_equal": ("at most ", operator.le),
}


def threshold_words(check: Check) -> str:
    """Return what the check allows: `0`, `at most 1 %`, `less than 5; warns unless 0`."""
    levels = _levels(check)
    if set(levels) == {"fail", "warn"}:
        return f"{_words(levels['fail'], check)}; warns unless {_words(levels['warn'], check)}"
    return _words(next(iter(levels.values())), check)


def judge_number(check: Check, number: float) -> Outcome:
    """Answer a check from its measured number, for the cases in which Soda is not asked."""
    levels = _levels(check)
    if "fail" in levels and not _allows(levels["fail"], number):
        return Outcome.FAILED
    if "warn" in levels and not _allows(levels["warn"], number):
        return Outcome.WARNED
    return Outcome.PASSED


def worst(check: Check) -> Outcome:
    """Return the worst that a check can come to: a warning where it says nothing of failing."""
    return Outcome.FAILED if "fail" in _levels(check) else Outcome.WARNED


def subject(dataset: str, check: Check) -> str:
    """Return what a check is about: `orders.amount` or `orders`."""
    column = check.column or check.body.get("column")
    return f"{dataset}.{column}" if column else dataset


def sentence(dataset: str, check: Check, measured: float | Decimal | None, failing: int, rows: int | None) -> str:
    """Return the one sentence for people; the same form whether the answer is yes or no."""
    head, allowed = subject(dataset, check), threshold_words(check)
    match check.kind:
        case "row_count":
            return f"{head}: {_rows(int(measured or 0))} (required: {allowed})"
        case "aggregate":
            return f"{head}: {check.body['function']} is {mark(number(measured))} (required: {allowed})"
        case "metric":
            return f"{head}: {check.body.get('name') or 'the metric'} is {number(measured)} (required: {allowed})"
        case _:
            return f"{head}: {_share(check, measured, failing, rows)} {_verbs(check, failing)} (allowed: {allowed})"


def duplicate_sentence(
    dataset: str, check: Check, measured: float, repeats: int, counted: int, keyless: int, involved: int
) -> str:
    """Say how many of the rows that have a key repeat the key of an earlier row, and how many rows have none."""
    names = [check.column] if check.column else list(check.body["columns"])
    notes = [f"{_rows(involved)} involved"] if involved else []
    if keyless:
        what = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} nor {names[-1]}"
        notes.append(f"{_rows(keyless)} with {'no' if len(names) == 1 else 'neither'} {what} not counted")
    share = _share(check, measured, repeats, counted)
    verb = "repeats" if repeats == 1 and not is_percent(check) else "repeat"
    notes.append(f"allowed: {threshold_words(check)}")
    told = f"{share} {verb} the {_listed(names, ' and ')} of an earlier row"
    return f"{subject(dataset, check)}: {told} ({'; '.join(notes)})"


def age_sentence(
    dataset: str, check: Check, age: float | None, unit: str, values: int, later: int, rows: int, furthest: float
) -> str:
    """Say how old the newest value up to now is, and how far ahead of now others are."""
    if age is not None:
        told = f"the newest value{' up to now' if later else ''} is {_count(age, unit)} old"
    else:
        told = f"there is no value up to now in {_rows(rows)}" if values else f"all of {_rows(rows)} are null: no age"
    told = f"{subject(dataset, check)}: {told} (required: {threshold_words(check)} {unit}s)"
    if later:
        told += f"; {later:,} of {_rows(rows)} {'is' if later == 1 else 'are'} ahead of now, by up to "
        told += _count(furthest, unit)
    return told


def number(value: float | Decimal | None) -> str:
    """Write a number for people: thousands grouped; a float at four decimals, or as many as tell it from a whole."""
    if value is None:
        return "nothing"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, Decimal):
        text = f"{value:,f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    for decimals in range(4, 16):
        text = f"{value:,.{decimals}f}".rstrip("0")
        if value.is_integer() or not text.endswith("."):
            break
    return text.rstrip(".")


def _count(value: float, unit: str) -> str:
    rounded = round(value, 4)
    return f"{number(rounded)} {unit}{'' if rounded == 1 else 's'}"


def _levels(check: Check) -> dict[str, Mapping[str, Any]]:
    """Return the comparison of each level a check has; without one the kind's own default."""
    threshold = check.body.get("threshold") or {}
    default = {"must_be_greater_than": 0} if check.kind == "row_count" else {"must_be": 0}
    own = {key: threshold[key] for key in (*COMPARISONS, *RANGES) if key in threshold} or default
    levels: dict[str, Mapping[str, Any]] = {threshold.get("level", "fail"): own}
    if more := threshold.get("additional"):
        levels[more.get("level", "fail")] = {key: value for key, value in more.items() if key != "level"}
    return levels


def _allows(comparison: Mapping[str, Any], number: float) -> bool:
    [(key, limit)] = comparison.items()
    if key not in RANGES:
        return _WORDS[key][1](number, float(limit))
    holds = [_WORDS[f"must_be_{name}"][1](number, float(value)) for name, value in limit.items()]
    return all(holds) if key == "must_be_between" else any(holds)


def _words(comparison: Mapping[str, Any], check: Check) -> str:
    [(key, limit)] = comparison.items()
    unit = " %" if is_percent(check) else ""
    if key not in RANGES:
        return f"{_WORDS[key][0]}{number(limit)}{unit}"
    parts = [f"{_WORDS[f'must_be_{name}'][0]}{number(value)}{unit}" for name, value in limit.items()]
    return (" and " if key == "must_be_between" else " or ").join(parts)


def is_percent(check: Check) -> bool:
    """Tell whether a check counts in percent."""
    return (check.body.get("threshold") or {}).get("metric") == "percent"


def _share(check: Check, measured: float | Decimal | None, counted: int, rows: int | None) -> str:
    if is_percent(check):
        return f"{number(measured)} % of {_rows(rows)} ({counted:,})"
    return f"{counted:,} of {_rows(rows)}" if rows is not None else _rows(counted)


def _rows(count: int | None) -> str:
    return "the rows" if count is None else f"{count:,} {'row' if count == 1 else 'rows'}"


def _verbs(check: Check, failing: int) -> str:
    """Return the rest of `3 of 10 rows …`."""
    body = check.body
    one = failing == 1 and not is_percent(check)
    match check.kind:
        case "missing":
            return f"{'is' if one else 'are'} {_absences(body)}"
        case "failed_rows":
            rule = body.get("name") or body.get("expression") or body.get("qualifier") or check.id
            return f"break{'s' if one else ''} the rule {' '.join(str(rule).split())!r}"
        case _:
            return ("is " if one else "are ") + " or ".join(_faults(body))


def _absences(body: Mapping[str, Any]) -> str:
    """Say what a missing value is: null, which a field that a row does not have is too, and what the check adds."""
    formats = [body["missing_format"]["name"]] if "missing_format" in body else []
    return _listed(["null", *map(_spell, body.get("missing_values", ())), *formats], " or ")


def _faults(body: Mapping[str, Any]) -> list[str]:
    low, high = (None if body.get(key) is None else _spell(body[key]) for key in ("valid_min", "valid_max"))
    faults = []
    if low is not None and high is not None:
        faults.append(f"not between {low} and {high}")
    elif low is not None:
        faults.append(f"below {low}")
    elif high is not None:
        faults.append(f"above {high}")
    for key, words in (
        ("valid_values", "not {}"),
        ("invalid_values", "{}"),
        ("valid_format", "not {}"),
        ("invalid_format", "{}"),
        ("valid_length", "not {} characters long"),
        ("valid_min_length", "shorter than {} characters"),
        ("valid_max_length", "longer than {} characters"),
    ):
        if key in body:
            value = body[key]
            if key.endswith("_values"):
                value = _listed(value, " or ")
            elif key.endswith("_format"):
                value = value["name"]
            faults.append(words.format(value))
    return faults


def _spell(value: object) -> str:
    """Write a value of the contract as it is, a text that one would not see in quotes."""
    if isinstance(value, Decimal):
        return format(value, "f")
    text = str(value)
    if not text:
        return "empty text"
    return text if text.strip() == text and text.isprintable() else repr(text)


def _listed(values: list[Any], joint: str, most: int = 6) -> str:
    shown = [_spell(value) for value in values[:most]]
    if len(values) > most:
        return f"one of {', '.join(shown)} and {len(values) - most} more"
    return joint.join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)
