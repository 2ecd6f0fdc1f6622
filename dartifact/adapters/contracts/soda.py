"""Contracts asked of a batch, with Soda Core; the only module that imports it.

Soda is not thread-safe, logs to the root logger and leaves a handler there, answers nothing when one query cannot run,
and knows neither strict schemas nor empty batches. All of that ends here: a gate gets one result per check.
"""

from __future__ import annotations

import logging
import os
import re
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, lru_cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from dartifact.adapters.contracts.answers import (
    Answer,
    answered,
    contract_errored,
    errored,
    find_duplicates,
    nothing_there,
    skipped,
)
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
from dartifact.adapters.contracts.schema import check_schema
from dartifact.domain.checks import Outcome, Result
from dartifact.domain.sources import Evolve
from dartifact.domain.sql_text import quote

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
        results = (contract_errored(contract.dataset, _one_line(str(error))),)
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
    also = (*where, _LIVE) if deletes else where
    # not the caller's database: whatever else it holds, or how it is set, makes no difference to a check
    with _LOCK:
        cursor = _database(os.getpid()).cursor()
    with cursor as own:
        own.execute("SET TimeZone = 'UTC'")
        own.register(contract.dataset, live)
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
                results[check.id] = errored(contract.dataset, check, reason or "Soda did not evaluate it")
                continue
            if check.kind == "duplicate" and answer.measured:
                rows, condition = find_duplicates(own, quote(contract.dataset), check, where)
                answer = replace(answer, numbers={**answer.numbers, "rows_involved": rows}, condition=condition)
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
    with _LOCK, _quiet() as capture:
        try:
            answers = _run(con, _soda_document(contract, checks), capture)
            error = ""
        except Exception as exception:  # noqa: BLE001 - whatever breaks in there, the gate could not ask
            answers, error = {}, f"{type(exception).__name__}: {exception}"
        errors = [record.getMessage() for record in capture.records if record.levelno >= logging.ERROR]
    return answers, _one_line(error or next(iter(errors), ""))


def _soda_document(contract: Contract, checks: tuple[Check, ...]) -> dict[str, Any]:
    """Return a contract with just these checks, each with our id as its qualifier: Soda drops all that look alike."""
    mapping = _soda().mapping  # Soda asks a check where it stands, which no plain dict answers

    def items(column: str | None) -> list[dict[str, Any]]:
        return [{each.kind: mapping({**each.body, "qualifier": each.id})} for each in checks if each.column == column]

    document: dict[str, Any] = {"dataset": f"{DATA_SOURCE}/{SCHEMA}/{contract.dataset}"}
    if where := _parts_of(contract)[1]:
        document["filter"] = where
    document["columns"] = [{"name": name, "checks": items(name)} for name, _ in contract.columns if items(name)]
    if items(None):
        document["checks"] = items(None)
    return document


def _run(con: duckdb.DuckDBPyConnection, document: dict[str, Any], capture: _Capture) -> dict[str, Answer | None]:
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
        measured = None if result.threshold_value is None else float(result.threshold_value)
        answers[name] = Answer(outcome, measured, numbers, conditions.found.get(name)) if outcome else None
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
        from soda_duckdb.common.data_sources import duckdb_data_source  # noqa: PLC0415
    # Soda writes each check as YAML again, for its cloud alone: a fifth of the time of a small batch.
    contract_verification_impl.CheckImpl._build_definition = lambda _: ""
    return SimpleNamespace(
        execute=contract_verification.ContractVerificationSession.execute,
        registry=contract_verification_impl.ContractVerificationHandlerRegistry,
        new_logs=logs.Logs,
        read_contract=yaml.ContractYamlSource.from_str,
        document=yaml.YamlObject,
        mapping=comments.CommentedMap,
        data_source=duckdb_data_source.DuckDBDataSourceImpl.from_existing_cursor,
    )


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


class _Capture(logging.Filter):
    """Keep one thread's records from all handlers, and hand them to Soda's own book-keeping of errors."""

    def __init__(self) -> None:
        super().__init__()
        self.thread = threading.get_ident()
        self.records: list[logging.LogRecord] = []
        self.forward: Any = None

    def filter(self, record: logging.LogRecord) -> bool:
        if threading.get_ident() != self.thread:
            return True
        self.records.append(record)
        if self.forward:
            self.forward(record)
        return False


@contextmanager
def _quiet() -> Iterator[_Capture]:
    """Silence Soda on this thread, and leave the root logger as it was: with its handler basicConfig does nothing."""
    capture, root = _Capture(), logging.getLogger()
    loggers = (root, logging.getLogger("soda"), logging.getLogger("soda_core.plugins"))
    handlers = list(root.handlers)
    for logger in loggers:
        logger.addFilter(capture)
    try:
        yield capture
    finally:
        for logger in loggers:
            logger.removeFilter(capture)
        for handler in [each for each in root.handlers if each not in handlers]:
            if type(handler).__module__.startswith("soda_core"):
                root.removeHandler(handler)


def _one_line(error: str) -> str:
    """Return what a person needs of an error: the database's sentence without the query around it."""
    found = re.search(r"[A-Z]\w* Error: .*", error, re.DOTALL)
    text = " ".join(re.split(r"\n\s*\n|\nLINE |\n\tCandidate", found[0] if found else error)[0].split())
    return text if len(text) <= 300 else text[:300] + "…"
