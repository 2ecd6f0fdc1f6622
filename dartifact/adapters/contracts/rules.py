"""Rules on single checks that Soda's JSON schema does not know: what breaks them would pass, or never be asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from difflib import get_close_matches
from math import isfinite
from typing import Any

from dartifact.adapters.contracts.bounds import BOUNDS, LISTS, find_number_fault
from dartifact.domain.checks import CheckPolicy

COMPARISONS = (
    "must_be",
    "must_not_be",
    "must_be_greater_than",
    "must_be_greater_than_or_equal",
    "must_be_less_than",
    "must_be_less_than_or_equal",
)
RANGES = ("must_be_between", "must_be_not_between")
TIMES = ("date", "timestamp with time zone")
QUERIES = ("query", "keys_query", "rows_tested_query")
_DEFAULTED = ("missing", "invalid", "duplicate", "failed_rows", "row_count")
_OF_ROWS = ("missing", "invalid", "failed_rows")
_PERCENT = ("missing", "invalid", "duplicate", "failed_rows")
_LENGTHS = ("valid_length", "valid_min_length", "valid_max_length")


def find_check_faults(
    kind: str, column: str | None, body: Mapping[str, Any], types: Mapping[str, str]
) -> Iterator[str]:
    """Find why a check of a known kind and known keys would still not do what it says, each after its place in it.

    `types` are the contract's columns, those of them that have a known type.
    """
    yield from _find_threshold_faults(kind, body)
    attributes = body.get("attributes") or {}
    for key, value in attributes.items():
        if key == "policy" and value not in list(CheckPolicy):
            yield f".attributes.policy: {value!r} has to be {' or '.join(CheckPolicy)}"
        if key != "policy" and get_close_matches(str(key), ["policy"], 1):
            yield f".attributes: unknown key {key!r}: did you mean 'policy'?"
    if attributes.get("policy") == CheckPolicy.NOT_WORSE_THAN_MAIN and kind not in _OF_ROWS:
        yield ".attributes.policy: a check of this kind is not about single rows"
    if kind == "invalid" and not any(key.startswith(("valid_", "invalid_")) for key in body):
        yield ": say what is valid, e.g. `valid_values` or `valid_min`"
    for key in (*BOUNDS, *_LENGTHS):
        if key in body and not _is_number(body[key]):
            yield f".{key}: {body[key]!r} has to be a number; for the rest use `failed_rows`"
    for key in (*LISTS, "columns"):
        if key in body and not body[key]:
            yield f".{key}: name at least one"
    yield from _find_value_faults(body, types.get(column or ""))
    if kind == "freshness" and types.get(body["column"], TIMES[0]) not in TIMES:
        yield f": the age of {body['column']} cannot be told: it is {types[body['column']]}, not {' or '.join(TIMES)}"


def find_filter_faults(kind: str, body: Mapping[str, Any]) -> Iterator[str]:
    """Find the parts of a check that the filter of a contract does not reach: SQL that names its rows itself."""
    for key in QUERIES:
        if key in body:
            yield (
                f".{key}: the `filter` of the contract does not reach a query; write the condition into the query, "
                "and give the other checks a `filter` each instead"
            )
            return


def _find_value_faults(body: Mapping[str, Any], data_type: str | None) -> Iterator[str]:
    if data_type is None:
        return
    for key in (*BOUNDS, *LISTS):
        if key not in body:
            continue
        for value in body[key] if key in LISTS else (body[key],):
            if fault := find_number_fault(key, value, data_type):
                yield f".{key}: {fault}"


def _find_threshold_faults(kind: str, body: Mapping[str, Any]) -> Iterator[str]:
    threshold = body.get("threshold")
    if threshold is None:
        if kind not in _DEFAULTED:
            yield ": a check of this kind needs a `threshold`"
        elif "threshold" in body:
            yield ".threshold: empty; leave it out, or say what is allowed"
        return
    given = [key for key in (*COMPARISONS, *RANGES) if key in threshold]
    yield from _find_comparison_faults(threshold, given, ".threshold")
    if not given and kind not in _DEFAULTED:
        yield ".threshold: say what is allowed, e.g. `must_be_less_than`"
    if more := threshold.get("additional"):
        given = [key for key in (*COMPARISONS, *RANGES) if key in more]
        yield from _find_comparison_faults(more, given, ".threshold.additional")
    if threshold.get("metric") == "percent":
        if kind not in _PERCENT:
            yield ".threshold.metric: a check of this kind has no percent"
        if kind == "failed_rows" and not ("expression" in body or "rows_tested_query" in body):
            yield ".threshold.metric: a percentage needs `rows_tested_query` or `expression`"


def _find_comparison_faults(threshold: Mapping[str, Any], given: list[str], where: str) -> Iterator[str]:
    """Find what Soda leaves unevaluated: two comparisons at once, half a range, text for a number."""
    if len(given) > 1:
        yield f"{where}: exactly one comparison is needed, found: {', '.join(given)}"
        return
    for key in given:
        limits = threshold[key] if key in RANGES else {key: threshold[key]}
        wrong = [(name, limit) for name, limit in limits.items() if not _is_number(limit)]
        for name, limit in wrong:
            yield f"{where}.{name}: {limit!r} has to be a number"
        if key in RANGES and not wrong:
            low = [limit for name, limit in limits.items() if name.startswith("greater")]
            high = [limit for name, limit in limits.items() if name.startswith("less")]
            if len(low) != 1 or len(high) != 1 or low == high or (low > high) != (key == "must_be_not_between"):
                yield (
                    f"{where}.{key}: needs one `greater_than…` and one `less_than…`, "
                    f"{'the first above the second: outside of that range' if 'not' in key else 'in this order'}"
                )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool) and isfinite(value)
