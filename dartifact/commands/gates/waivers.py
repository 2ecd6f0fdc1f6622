"""Waivers at the gates, and the verbs that make, end and expire them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from dartifact.adapters.contracts.contracts import checks_of
from dartifact.commands.stack import Stack
from dartifact.domain import errors
from dartifact.domain.checks import Outcome, Result
from dartifact.domain.events import EventType
from dartifact.domain.people import Role, require_reason
from dartifact.domain.runs import Run
from dartifact.domain.waivers import Waiver, apply_waivers, is_waivable

_LOOKED_AT = 50


def waive_results(stack: Stack, results: Iterable[Result], runs: Sequence[Run] = ()) -> tuple[Result, ...]:
    """Return results with what people have accepted as warnings; `runs` are those that the results are about."""
    found = tuple(results)
    datasets = {each.dataset for each in found if is_waivable(each)}
    if not datasets:
        return found
    waivers = stack.ledger.waivers(run_ids=[run.run_id for run in runs], datasets=datasets)
    return apply_waivers(found, waivers, {run.run_id: run.commit for run in runs}, stack.clock())


def waive(
    stack: Stack, dataset: str, check: str, *, until: datetime, reason: str, actor: str, rows: int | None = None
) -> Waiver:
    """Accept up to a date that a check of a dataset or mart fails, on at most `rows` rows of a run.

    Without `rows` as many as the newest run that the check stopped has. Drift checks are known by the report of such a
    run, others by the contract. UsageError: the date has come, no such check, or one that nobody may waive.
    """
    stack.require(Role.REVIEWER, "waive a check")
    require_reason(reason)
    if until <= stack.clock():
        raise errors.UsageError(f"{until.isoformat()} has passed", hint="--until a later date")
    last = _find_failure(stack, dataset, check)
    if last is None:
        _refuse_unknown(stack, dataset, check)
    if last is not None and not is_waivable(last):
        raise errors.PolicyRefused(f"{check} cannot be waived: {last.message}", hint="fix the rows or the source")
    if rows is None:
        if last is None:
            raise errors.UsageError(f"no recent run failed {check}", hint="say how many rows: --rows N")
        rows = last.failing_rows
    with stack.ledger.write() as tx:
        number = tx.waivers.add(dataset, check, rows, until, reason, actor)
    return next(each for each in stack.ledger.waivers(datasets=[dataset]) if each.waiver_id == number)


def withdraw(stack: Stack, number: int, *, reason: str, actor: str) -> bool:
    """End a waiver before its date; False when it has ended already."""
    stack.require(Role.REVIEWER, "end a waiver")
    with stack.ledger.write() as tx:
        return tx.waivers.end(number, EventType.WAIVER_WITHDRAWN, actor, reason=reason)


def expire_waivers(stack: Stack, actor: str) -> tuple[str, ...]:
    """Note the waivers whose date has come, once each: people are told; return them in words."""
    said = []
    for each in stack.ledger.waivers():
        if each.has_expired(stack.clock()):
            with stack.ledger.write() as tx:
                if tx.waivers.end(
                    each.waiver_id, EventType.WAIVER_EXPIRED, actor, reason=each.reason, waived_by=each.actor
                ):
                    said.append(f"waiver {each.waiver_id} of {each.check} has expired: the check stops runs again")
    return tuple(said)


def _find_failure(stack: Stack, dataset: str, check: str) -> Result | None:
    """Return the newest answer of a check that stopped a run of the dataset."""
    if dataset not in stack.sources:
        return None
    for run in stack.ledger.runs(source=dataset, most=_LOOKED_AT):
        report = stack.ledger.report(run.report) if run.report else None
        for each in report.results if report else ():
            if each.check == check and each.dataset == dataset and each.outcome is Outcome.FAILED:
                return each
    return None


def _refuse_unknown(stack: Stack, dataset: str, check: str) -> None:
    marts = {each.dataset: each for each in stack.mart_contracts()}
    if dataset not in stack.sources and dataset not in marts:
        known = ", ".join(sorted([*stack.sources, *marts]))
        raise errors.UsageError(f"there is no dataset or mart {dataset}; there are {known}")
    contract = stack.contract(dataset) if dataset in stack.sources else marts[dataset]
    names = [each.id for each in checks_of(contract)]
    if check not in names and not check.startswith(f"{dataset}.drift."):
        raise errors.UsageError(f"{dataset} has no check {check}; it has {', '.join(names)}")
