"""Our own strict schema check: Soda's takes all integer types for one and sees attached databases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dartifact.adapters.contracts.contracts import Contract
from dartifact.adapters.tables.column_types import ZONED_STAMP, decimal_size, text_form
from dartifact.domain.checks import Outcome, Result
from dartifact.domain.marks import mark
from dartifact.domain.sources import SYSTEM_COLUMNS, Evolve
from dartifact.domain.sql_text import quote

if TYPE_CHECKING:
    import duckdb

# what DuckDB adds to a view over Parquet files on request; no source brings it
_FIRST, _LAST = "0001-01-01 00:00:00+00", "9999-12-31 23:59:59.999999+00"
_READER_COLUMNS = ("file_row_number",)


@dataclass(frozen=True, slots=True)
class SchemaAnswer:
    """The results, why checks that read a column cannot be asked (by column), and the columns that are there."""

    results: tuple[Result, ...]
    unusable: Mapping[str, str]
    actual: Mapping[str, str]


def check_schema(
    con: duckdb.DuckDBPyConnection, contract: Contract, relation: str, evolve: Evolve = Evolve.FAIL
) -> SchemaAnswer:
    """Compare a relation's columns with the contract: one passed result, or one result for each fault.

    A fault fails; `evolve` lets it hold, or lets an unknown column pass with a warning. Names are compared with their
    case; system columns may be there and need not be.
    """
    actual = {row[0]: str(row[1]).lower() for row in con.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()}
    results: list[Result] = []
    unusable: dict[str, str] = {}
    for name, data_type in contract.columns:
        if name not in actual:
            unusable[name] = f"the column {name} is missing"
            message = f"{contract.dataset}.{name}: the column is missing"
            results.append(_fault(contract, "missing", name, message))
        elif actual[name] != data_type:
            unusable[name] = f"the column {name} is {actual[name]}, not {data_type}"
            misfit = _misfit(con, contract, relation, name) if actual[name] == "varchar" else None
            message = f"{contract.dataset}.{name}: the column is {actual[name]}, not {data_type}"
            fault = misfit or _fault(contract, "type", name, message)
            if evolve is Evolve.HOLD:
                message = f"{fault.message}; correct the source or checks/{contract.dataset}.yml"
                fault = replace(fault, message=message, holds=True)
            results.append(fault)
    known = {*(name for name, _ in contract.columns), *SYSTEM_COLUMNS, *_READER_COLUMNS}
    for name, data_type in actual.items():
        if name not in known:
            results.append(_judge_unknown(contract, name, data_type, evolve))
    if not any(result.outcome is Outcome.FAILED for result in results):
        message = f"{contract.dataset}: the {len(contract.columns)} columns match the contract"
        results.append(Result(f"{contract.dataset}.schema", contract.dataset, Outcome.PASSED, message))
    return SchemaAnswer(tuple(results), unusable, actual)


def _fault(contract: Contract, fault: str, name: str, message: str) -> Result:
    check = f"{contract.dataset}.schema.{fault}.{name}"
    return Result(check, contract.dataset, Outcome.FAILED, message, column=name)


def _judge_unknown(contract: Contract, name: str, data_type: str, evolve: Evolve) -> Result:
    message = f"{contract.dataset}.{name}: the contract does not have this column ({data_type})"
    advice = f"add `{{name: {name}, data_type: {data_type}}}` to the columns of checks/{contract.dataset}.yml"
    fault = _fault(contract, "unexpected", name, message)
    match evolve:
        case Evolve.ADD_NULLABLE:
            message = f"{message}; it is stored as nullable text. To keep it, {advice}"
            return replace(fault, outcome=Outcome.WARNED, message=message)
        case Evolve.HOLD:
            return replace(fault, message=f"{message}; remove it from the source, or {advice}", holds=True)
        case Evolve.FAIL:
            return fault


def _misfit(con: duckdb.DuckDBPyConnection, contract: Contract, relation: str, name: str) -> Result | None:
    """Count the texts that are no values: a column that could not be typed comes as text, with all that was brought."""
    for words, condition in _misfits(name, dict(contract.columns)[name]):
        text = quote(name)
        [values, failing, example] = con.execute(
            f"SELECT count({text}), count(*) FILTER (WHERE {condition}), min({text}) FILTER (WHERE {condition}) "
            f"FROM {relation}"
        ).fetchall()[0]
        if failing:
            shown = repr(example if len(example) <= 40 else example[:40] + "…") if example else "empty text"
            message = f"{contract.dataset}.{name}: {failing:,} of {values:,} values {words}, e.g. {mark(shown)}"
            fault = _fault(contract, "type", name, message)
            return replace(fault, measured=float(failing), threshold="0", failing_rows=failing, condition=condition)
    return None


def _misfits(name: str, data_type: str) -> list[tuple[str, str]]:
    """Return (what is wrong, SQL condition) in the order to look for: texts that are no value, then naive stamps.

    TRY_CAST alone is too kind: it takes `yes` for a truth, rounds 1.005 to cents and guesses a time zone.
    """
    text = quote(name)
    misfit = f"TRY_CAST({text} AS {data_type}) IS NULL"
    if form := text_form(data_type):
        misfit += f" OR NOT regexp_full_match({text}, '{form}')"
    if size := decimal_size(data_type):
        misfit += f" OR regexp_matches({text}, '\\.[0-9]{{{size[1]}}}[0-9]*[1-9]')"
    misfits = [(f"are not {data_type}", f"{text} IS NOT NULL AND ({misfit})")]
    if data_type == "double":
        # beyond the largest double it is taken for infinity, and below the smallest for nothing
        double = f"TRY_CAST({text} AS DOUBLE)"
        misfit += f" OR isinf({double}) OR ({double} = 0 AND regexp_matches({text}, '^[^eE]*[1-9]'))"
    misfits = [(f"are not {data_type}", f"{text} IS NOT NULL AND ({misfit})")]
    if data_type == "date":
        misfits.append(("are before the year 1", f"TRY_CAST({text} AS DATE) < DATE '0001-01-01'"))
    if data_type == "timestamp with time zone":
        stamp = f"TRY_CAST({text} AS TIMESTAMPTZ)"
        far = f"{stamp} < TIMESTAMPTZ '{_FIRST}' OR {stamp} > TIMESTAMPTZ '{_LAST}'"
        offset = (
            f"regexp_matches({text}, '[+-](2[4-9]|[3-9][0-9]|[0-9]{{2}}:?[6-9][0-9])[0-9:]*$') AND {text} LIKE '%:%:%'"
        )
        misfits.append(("carry an offset that no time zone has", offset))
        misfits.append(("are, in UTC, not between the years 1 and 9999", far))
        naive = f"{text} IS NOT NULL AND NOT regexp_full_match({text}, '{ZONED_STAMP}')"
        misfits.append(("carry no time zone", naive))
    return misfits
