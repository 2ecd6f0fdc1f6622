"""Contracts asked of a batch, with Soda Core; the only module that imports it.

Soda is not thread-safe, logs to the root logger and leaves a handler there, answers nothing when one query cannot run,
and knows neither strict schemas nor empty batches. All of that ends here: a gate gets one result per check.
"""

from __future__ import annotations

import logging
import os
import threading
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache, lru_cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from dartifact.adapters.contracts.answers import (
    Answer,
    answered,
    contract_errored,
    errored,
    nothing_there,
    skipped,
)
from dartifact.adapters.contracts.bounds import exact_body
from dartifact.adapters.contracts.contracts import (
    DATA_SOURCE,
    SCHEMA,
    Check,
    Contract,
    checks_of,
    filter_of,
    has_word,
    load_contract,
    parse_contract,
)
from dartifact.adapters.contracts.measures import MEASURES
from dartifact.adapters.contracts.schema import check_schema
from dartifact.adapters.contracts.soda_log import Capture, cut_error, quiet
from dartifact.domain.checks import Outcome, Result
from dartifact.domain.sources import Evolve

if TYPE_CHECKING:
    import duckdb

__all__ = ["Check", "Contract", "check_contract", "checks_of", "load_contract", "parse_contract"]

_LOCK = threading.Lock()
_LIVE = '"_deleted" IS NOT TRUE'
_OUTCOMES = {"PASSED": Outcome.PASSED, "FAILED": Outcome.FAILED, "WARN": Outcome.WARNED}


def check_contract(
    con: duckdb.DuckDBPyConnection,
    contract: Contract,
    relation: str,
    *,
    run_id: str | None = None,
    evolve: Evolve = Evolve.FAIL,
) -> tuple[Result, ...]:
    """Ask a contract of a relation's rows: results of the schema first, then one for each check in its order.

    `relation` is SQL for a table or view of `con`, which is only read. Rows with `_deleted` are not asked about. A
    result's `condition` finds its failing rows in any relation with the same columns: `SELECT * FROM … WHERE …`.
    `evolve` says what columns that are not as the contract says come to.
    Never raises for what is wrong with rows, contract or Soda: that is an errored result.
    """
    import duckdb  # noqa: PLC0415

    try:
        results = _check(con, contract, relation, evolve)
    except duckdb.Error as error:
        results = (contract_errored(contract.dataset, cut_error(str(error))),)
    return tuple(replace(result, run_id=run_id) for result in results)


def _check(con: duckdb.DuckDBPyConnection, contract: Contract, relation: str, evolve: Evolve) -> tuple[Result, ...]:
    schema = check_schema(con, contract, relation, evolve)
    checks, where = _parts_of(contract)
    results = {check.id: result for check in checks if (result := _unaskable(contract, check, where, schema.unusable))}
    asked = tuple(check for check in checks if check.id not in results)
    deletes = "_deleted" in schema.actual
    live = con.execute(f"SELECT * FROM {relation}" + (f" WHERE {_LIVE}" if deletes else "")).to_arrow_table()
    if live.num_rows == 0:
        [[rows]] = con.execute(f"SELECT count(*) FROM {relation}").fetchall()
        for check in asked:
            empty = nothing_there(contract.dataset, check, "the batch is empty")
            only_deletions = skipped(contract.dataset, check, "the batch holds nothing but deletions")
            results[check.id] = only_deletions if rows else empty
    elif asked:
        fault = _ask(live, contract, asked, (where,) if where else (), results, deletes=deletes)
        if fault:
            return (*schema.results, *results.values(), fault)
    return (*schema.results, *(results[check.id] for check in checks))


@lru_cache(maxsize=256)
def _parts_of(contract: Contract) -> tuple[tuple[Check, ...], str | None]:
    """Return checks and filter of a contract, read from its text once."""
    return checks_of(contract), filter_of(contract)


def _unaskable(contract: Contract, check: Check, where: str | None, unusable: Mapping[str, str]) -> Result | None:
    for column, reason in unusable.items():
        if check.mentions(column) or (where and has_word(where, column)):
            return skipped(contract.dataset, check, reason)
    return None


def _ask(
    live: Any,
    contract: Contract,
    checks: tuple[Check, ...],
    where: tuple[str, ...],
    results: dict[str, Result],
    *,
    deletes: bool,
) -> Result | None:
    """Add a result for each check; or return the one errored result of a contract that Soda does not answer."""
    import duckdb  # noqa: PLC0415

    also, now = (*where, _LIVE) if deletes else where, datetime.now(UTC)
    # not the caller's database: whatever else it holds, or how it is set, makes no difference to a check
    with _LOCK:
        cursor = _database(os.getpid()).cursor()
    with cursor as own:
        own.execute("SET TimeZone = 'UTC'")
        own.register(contract.dataset, live)
        for check in (each for each in checks if each.kind in MEASURES):
            try:
                answer = MEASURES[check.kind](own, contract.dataset, check, where, now)
                results[check.id] = answered(contract.dataset, check, answer, also=also)
            except duckdb.Error as exception:
                results[check.id] = errored(contract.dataset, check, cut_error(str(exception)))
        asked = tuple(check for check in checks if check.id not in results)
        return _ask_soda(own, contract, asked, results, also) if asked else None


def _ask_soda(
    own: duckdb.DuckDBPyConnection,
    contract: Contract,
    checks: tuple[Check, ...],
    results: dict[str, Result],
    also: tuple[str, ...],
) -> Result | None:
    answers, error = _verify(own, contract, checks)
    if not answers:
        return contract_errored(contract.dataset, error or "Soda answered none of its checks")
    for check in checks:
        answer, reason = answers.get(check.id), error
        if answer is None and len(checks) > 1:
            # one query that cannot run takes all of Soda's answers with it: find out whose it was
            alone, reason = _verify(own, contract, (check,))
            answer = alone.get(check.id)
        if answer is None:
            results[check.id] = errored(contract.dataset, check, reason or "there is no value to ask about")
        else:
            results[check.id] = answered(contract.dataset, check, answer, also=also)
    return None


@cache
def _database(pid: int) -> duckdb.DuckDBPyConnection:
    """Return the empty database of this process, whose connections see a batch each: to make one takes 20 ms."""
    import duckdb  # noqa: PLC0415

    return duckdb.connect(":memory:")


def _verify(
    con: duckdb.DuckDBPyConnection, contract: Contract, checks: tuple[Check, ...]
) -> tuple[dict[str, Answer | None], str]:
    """Run Soda on some checks of a contract; return its answers (None: not evaluated) by check, and its first error."""
    with _LOCK, quiet() as capture:
        try:
            answers = _run(con, _soda_document(contract, checks), capture)
            error = ""
        except Exception as exception:  # noqa: BLE001 - whatever breaks in there, the gate could not ask
            answers, error = {}, f"{type(exception).__name__}: {exception}"
        errors = [record.getMessage() for record in capture.records if record.levelno >= logging.ERROR]
    return answers, cut_error(error or next(iter(errors), ""))


def _soda_document(contract: Contract, checks: tuple[Check, ...]) -> dict[str, Any]:
    """Return a contract with just these checks, each with our id as its qualifier: Soda drops all that look alike."""
    mapping = _soda().mapping  # Soda asks a check where it stands, which no plain dict answers
    types = dict(contract.columns)

    def items(column: str | None) -> list[dict[str, Any]]:
        bodies = [
            (each, exact_body(each.kind, each.body, types.get(column or "", "")))
            for each in checks
            if each.column == column
        ]
        return [{each.kind: mapping({**body, "qualifier": each.id})} for each, body in bodies]

    document: dict[str, Any] = {"dataset": f"{DATA_SOURCE}/{SCHEMA}/{contract.dataset}"}
    if where := _parts_of(contract)[1]:
        document["filter"] = where
    document["columns"] = [{"name": name, "checks": items(name)} for name, _ in contract.columns if items(name)]
    if items(None):
        document["checks"] = items(None)
    return document


def _run(con: duckdb.DuckDBPyConnection, document: dict[str, Any], capture: Capture) -> dict[str, Answer | None]:
    soda = _soda()
    handlers = soda.registry.contract_verification_handlers
    conditions, logs = _Conditions(), soda.new_logs()
    capture.forward = logs.gatherer.emit
    # It has been parsed, with the contract: Soda's own parser takes longer than all of its queries.
    source = soda.read_contract("")
    source.parse = lambda: soda.document(source, document)
    handlers.append(conditions)
    try:
        session = soda.execute(
            contract_yaml_sources=[source],
            data_source_impls=[soda.data_source(con, name=DATA_SOURCE)],
            logs=logs,
        )
    finally:
        handlers.remove(conditions)
        logs.close()
    answers: dict[str, Answer | None] = {}
    for result in (each for verified in session.results for each in verified.check_results):
        name, outcome = result.check.qualifier, _OUTCOMES.get(result.outcome.name)
        numbers = {key: value for key, value in (result.diagnostic_metric_values or {}).items() if value is not None}
        answers[name] = (
            Answer(outcome, result.threshold_value, numbers, conditions.found.get(name)) if outcome else None
        )
    return answers


@cache
def _soda() -> SimpleNamespace:
    """Import Soda, late: it takes half a second, and deprecates parts of itself while it does."""
    # telemetry is decided on import, and soda_duckdb cannot be imported before soda_core.contracts
    os.environ["SODA_CORE_TELEMETRY_ENABLED"] = "false"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from ruamel.yaml import comments  # noqa: PLC0415, I001
        from soda_core.contracts import contract_verification  # noqa: PLC0415
        from soda_core.common import logs, yaml  # noqa: PLC0415
        from soda_core.contracts.impl import contract_verification_impl  # noqa: PLC0415
        from soda_core.contracts.impl.check_types import aggregate_check, metric_check  # noqa: PLC0415
        from soda_duckdb.common.data_sources import duckdb_data_source  # noqa: PLC0415
    # Soda writes each check as YAML again, for its cloud alone: a fifth of the time of a small batch.
    contract_verification_impl.CheckImpl._build_definition = lambda _: ""
    # Soda makes floats of what it measured, and 12345678901234567.90 is none.
    for metric in (aggregate_check.AggregateFunctionMetricImpl, metric_check.MetricExpressionMetricImpl):
        metric.convert_db_value = _exactly(metric.convert_db_value)
    return SimpleNamespace(
        execute=contract_verification.ContractVerificationSession.execute,
        registry=contract_verification_impl.ContractVerificationHandlerRegistry,
        new_logs=logs.Logs,
        read_contract=yaml.ContractYamlSource.from_str,
        document=yaml.YamlObject,
        mapping=comments.CommentedMap,
        data_source=duckdb_data_source.DuckDBDataSourceImpl.from_existing_cursor,
    )


def _exactly(convert: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Let a conversion of Soda's judge whether a value is a number, and keep the number as it came."""

    def exact(metric: Any, value: Any) -> Decimal | None:
        number = convert(metric, value)
        return None if number is None else Decimal(str(value if isinstance(value, Decimal) else number))

    return exact


class _Conditions:
    """A post-processing handler of Soda's that takes down which rows each check counts, as SQL."""

    requires_result_handles = False

    def __init__(self) -> None:
        self.found: dict[str, str] = {}

    def provides_post_processing_stages(self) -> list[Any]:
        return []

    def handle(self, contract_impl: Any, data_source_impl: Any, *_: Any, **__: Any) -> None:
        for check in contract_impl.all_check_impls:
            if check.type in ("missing", "invalid", "failed_rows"):
                condition = check.get_threshold_metric_impl().sql_condition_expression()
                if condition is not None:
                    sql = data_source_impl.sql_dialect.build_expression_sql(condition)
                    self.found[check.check_yaml.qualifier] = sql
