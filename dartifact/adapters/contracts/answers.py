"""From what was measured to a result: outcome, sentence, number of failing rows and the condition that finds them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from dartifact.adapters.contracts.contracts import Check
from dartifact.adapters.contracts.words import judge_number, sentence, subject, threshold_words
from dartifact.domain.checks import Outcome, Result
from dartifact.domain.marks import mark
from dartifact.domain.sql_text import literal

MOST_KEYS = 10_000


@dataclass(frozen=True, slots=True)
class Answer:
    """What was measured for one check; `condition` is over the live rows, None where there is none.

    `message` is the sentence of a check that was measured here, empty for one that Soda has answered.
    """

    outcome: Outcome
    measured: float | Decimal | None
    numbers: Mapping[str, float]
    condition: str | None = None
    message: str = ""


def answered(dataset: str, check: Check, answer: Answer, *, also: tuple[str, ...]) -> Result:
    """Make a result of an answer; `also` are conditions every counted row fulfils (live, and within the filter)."""
    counted = {"missing": "missing_count", "invalid": "invalid_count", "failed_rows": "failed_rows_count"}
    failing = int(answer.numbers.get(counted.get(check.kind, "rows_involved"), 0))
    tested = answer.numbers.get("check_rows_tested")
    rows = None if tested is None else int(tested)
    condition = answer.condition
    if condition is not None:
        condition = " AND ".join(f"({part})" for part in (condition, *also))
    return Result(
        check.id,
        dataset,
        answer.outcome,
        answer.message or sentence(dataset, check, answer.measured, failing, rows),
        column=check.column,
        measured=None if answer.measured is None else float(answer.measured),
        threshold=threshold_words(check),
        failing_rows=failing,
        condition=condition,
    )


def skipped(dataset: str, check: Check, reason: str) -> Result:
    """Make a result of a check that was not asked."""
    message = f"{subject(dataset, check)}: {check.kind} not checked: {reason}"
    return Result(check.id, dataset, Outcome.SKIPPED, message, column=check.column, threshold=threshold_words(check))


def errored(dataset: str, check: Check, error: str) -> Result:
    """Make a result of a check that could not be asked."""
    message = f"{subject(dataset, check)}: {check.kind} could not be checked: {mark(error)}"
    return Result(check.id, dataset, Outcome.ERRORED, message, column=check.column, threshold=threshold_words(check))


def contract_errored(dataset: str, error: str) -> Result:
    """Make the one result of a contract that could not be asked at all."""
    return Result(f"{dataset}.contract", dataset, Outcome.ERRORED, f"{dataset}: could not be checked: {mark(error)}")


def nothing_there(dataset: str, check: Check, reason: str) -> Result:
    """Answer a check on no rows: a number of rows is a fact even then, the rest has nothing to be asked about."""
    if check.kind != "row_count":
        return skipped(dataset, check, reason)
    answer = Answer(judge_number(check, 0), 0.0, {"check_rows_tested": 0})
    return answered(dataset, check, answer, also=())


def spell_tuple(values: tuple[str | None, ...]) -> str:
    """Return texts as SQL literals, in brackets if they are several."""
    literals = ["NULL" if value is None else literal(value) for value in values]
    return literals[0] if len(literals) == 1 else f"({', '.join(literals)})"
