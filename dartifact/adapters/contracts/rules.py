"""Rules on single checks that Soda's JSON schema does not know: what breaks them would pass, or never be asked."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from dartifact.domain.checks import CheckPolicy
from dartifact.domain.errors import UsageError

COMPARISONS = (
    "must_be",
    "must_not_be",
    "must_be_greater_than",
    "must_be_greater_than_or_equal",
    "must_be_less_than",
    "must_be_less_than_or_equal",
)
RANGES = ("must_be_between", "must_be_not_between")
_DEFAULTED = ("missing", "invalid", "duplicate", "failed_rows", "row_count")
_OF_ROWS = ("missing", "invalid", "failed_rows")
_PERCENT = ("missing", "invalid", "duplicate", "failed_rows")


def refuse_check(kind: str, body: Mapping[str, Any], columns: tuple[str, ...], where: str) -> None:
    """Raise UsageError where a check of a known kind and known keys would still not do what it says."""
    _refuse_threshold(kind, body, where)
    attributes = body.get("attributes") or {}
    for key, value in attributes.items():
        if key == "policy" and value not in list(CheckPolicy):
            raise UsageError(f"{where}.attributes.policy: {value!r} has to be {' or '.join(CheckPolicy)}")
        if key != "policy" and get_close_matches(key, ["policy"], 1):
            raise UsageError(f"{where}.attributes: unknown key {key!r}: did you mean 'policy'?")
    if attributes.get("policy") == CheckPolicy.NOT_WORSE_THAN_MAIN and kind not in _OF_ROWS:
        raise UsageError(f"{where}.attributes.policy: a check of this kind is not about single rows")
    if kind == "invalid" and not any(key.startswith(("valid_", "invalid_")) for key in body):
        raise UsageError(f"{where}: say what is valid, e.g. `valid_values` or `valid_min`")
    for key in ("valid_min", "valid_max", "valid_length", "valid_min_length", "valid_max_length"):
        if key in body and not _is_number(body[key]):
            raise UsageError(f"{where}.{key}: {body[key]!r} has to be a number; for the rest use `failed_rows`")
    for key in ("valid_values", "invalid_values", "missing_values", "columns"):
        if key in body and not body[key]:
            raise UsageError(f"{where}.{key}: name at least one")
    used = (*body.get("columns", ()), *([body["column"]] if "column" in body else []))
    for column in used:
        if column not in columns:
            raise UsageError(f"{where}: the contract has no column {column!r}")


def _refuse_threshold(kind: str, body: Mapping[str, Any], where: str) -> None:
    threshold = body.get("threshold")
    if threshold is None:
        if kind not in _DEFAULTED:
            raise UsageError(f"{where}: a check of this kind needs a `threshold`")
        if "threshold" in body:
            raise UsageError(f"{where}.threshold: empty; leave it out, or say what is allowed")
        return
    given = _refuse_comparison(threshold, f"{where}.threshold")
    if not given and kind not in _DEFAULTED:
        raise UsageError(f"{where}.threshold: say what is allowed, e.g. `must_be_less_than`")
    if "additional" in threshold:
        _refuse_comparison(threshold["additional"], f"{where}.threshold.additional")
    if threshold.get("metric") == "percent":
        if kind not in _PERCENT:
            raise UsageError(f"{where}.threshold.metric: a check of this kind has no percent")
        if kind == "failed_rows" and not ("expression" in body or "rows_tested_query" in body):
            raise UsageError(f"{where}.threshold.metric: a percentage needs `rows_tested_query` or `expression`")


def _refuse_comparison(threshold: Mapping[str, Any], where: str) -> int:
    """Refuse what Soda leaves unevaluated: two comparisons at once, half a range, text for a number."""
    given = [key for key in (*COMPARISONS, *RANGES) if key in threshold]
    if len(given) > 1:
        raise UsageError(f"{where}: exactly one comparison is needed, found: {', '.join(given)}")
    for key in given:
        limits = threshold[key] if key in RANGES else {key: threshold[key]}
        for name, limit in limits.items():
            if not _is_number(limit):
                raise UsageError(f"{where}.{name}: {limit!r} has to be a number")
        if key in RANGES:
            low = [limit for name, limit in limits.items() if name.startswith("greater")]
            high = [limit for name, limit in limits.items() if name.startswith("less")]
            if len(low) != 1 or len(high) != 1 or low == high or (low > high) != (key == "must_be_not_between"):
                raise UsageError(
                    f"{where}.{key}: needs one `greater_than…` and one `less_than…`, "
                    f"{'the first above the second: outside of that range' if 'not' in key else 'in this order'}"
                )
    return len(given)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
